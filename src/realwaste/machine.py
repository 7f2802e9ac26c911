"""What results were made on: one record for every metrics file that holds a trained result or a measured time.

Without TensorFlow, which `device` asks for the GPUs.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
KEYS = ("processor", "cores", "gpu", "precision", "engine")
NO_GPU = "none"


def record(precision: str, *, gpus: Sequence[str] = (), engine: str = "local") -> dict[str, str | int]:
    """This machine's, under KEYS.

    Args:
        precision: the Keras dtype policy that was used, or the arrays' type.
        gpus: names of those that were used.
        engine: that of base.engine. With ray this is the machine that started the work, which nodes have done.
    """
    values = processor(), cores(), ", ".join(gpus) or NO_GPU, precision, engine
    return dict(zip(KEYS, values, strict=True))


def merged(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One record of several: what all agree on, else each value with those that have it.

    Args:
        records: a stage or model, of those whose results stand together.
    """
    return {key: _together({name: own[key] for name, own in records.items()}) for key in KEYS}


def _together(values: Mapping[str, Any]) -> Any:
    distinct = list(dict.fromkeys(values.values()))
    if len(distinct) == 1:
        return distinct[0]
    having = (", ".join(name for name, value in values.items() if value == one) for one in distinct)
    return " and ".join(f"{one} ({names})" for one, names in zip(distinct, having, strict=True))


def line(made: Mapping[str, Any]) -> str:
    """A record in one line for people."""
    gpu = "no GPU" if made["gpu"] == NO_GPU else f"GPU {made['gpu']}"
    engine = "" if made["engine"] == "local" else f"; engine {made['engine']}"
    return f"{made['processor']}; {made['cores']} cores; {gpu}; {made['precision']}{engine}"


def processor() -> str:
    """Its name; on Linux with family and model, since the name alone may be that of a whole series."""
    facts = _cpuinfo()
    if "model name" in facts:
        known = " ".join(f"{said} {facts[key]}" for key, said in _NUMBERS.items() if key in facts)
        return f"{facts['model name']} ({known})" if known else facts["model name"]
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return platform.processor() or platform.machine()


_NUMBERS = {"cpu family": "family", "model": "model"}


def cores() -> int:
    """Those that this process may use; TensorFlow takes as many threads, and results depend on them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def flags() -> set[str]:
    """What the processor can do, in Linux' words; elsewhere nothing is known."""
    return set(_cpuinfo().get("flags", "").split())


def _cpuinfo() -> dict[str, str]:
    """Of the first core; Linux alone has it."""
    if not CPUINFO.is_file():
        return {}
    first = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
