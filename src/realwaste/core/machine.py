"""This machine: what results are made on, as a record for metrics files, and how much memory is free.

Without TensorFlow, which realwaste.runtime.device asks for the GPUs.
"""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from realwaste.core import cgroups

CPUINFO = Path("/proc/cpuinfo")
# Of NVIDIA's driver: on Linux, in a container that was given a GPU, and in Windows' subsystem for Linux.
NVIDIA = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"), Path("/usr/lib/wsl/lib/nvidia-smi"))
_HIDDEN = {"", "-1"}
KEYS = ("processor", "cores", "gpu", "precision", "engine")
INFERENCE = "inference"  # in the records of what asked networks that only answer
NO_GPU = "none"


def record(
    precision: str, *, gpus: Sequence[str] = (), engine: str = "local", inference: str | None = None
) -> dict[str, str | int]:
    """What this machine is, as a record with KEYS, and INFERENCE where that is given.

    Args:
        precision: the Keras dtype policy that was used, or the arrays' type.
        gpus: names of those that were used.
        engine: that of base.engine. With ray this is the machine that started the work, which nodes have done.
        inference: what networks that only answer were run by: openvino or tensorflow.
    """
    values = processor(), cores(), ", ".join(gpus) or NO_GPU, precision, engine
    known: dict[str, str | int] = dict(zip(KEYS, values, strict=True))
    return known if inference is None else known | {INFERENCE: inference}


def merged(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One record of several: what all agree on, else each value with those that have it.

    Args:
        records: a stage or model, of those whose results stand together.
    """
    found = {key: {name: own[key] for name, own in records.items() if key in own} for key in (*KEYS, INFERENCE)}
    return {key: _together(values) for key, values in found.items() if values}


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
    asked = f"; networks asked by {made[INFERENCE]}" if INFERENCE in made else ""
    return f"{made['processor']}; {made['cores']} cores; {gpu}; {made['precision']}{engine}{asked}"


def processor() -> str:
    """The processor's name; on Linux with family and model, since the name alone may be that of a whole series."""
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
    """The number of cores that this process may use. TensorFlow takes as many threads, and results depend on them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def flags() -> set[str]:
    """What the processor can do, in the words of Linux (avx512_bf16, amx_bf16, …); empty on other systems."""
    return set(_cpuinfo().get("flags", "").split())


def may_have_gpu() -> bool:
    """Whether NVIDIA's driver is here, and CUDA_VISIBLE_DEVICES does not hide its GPUs; the driver is not asked."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") not in _HIDDEN and any(path.exists() for path in NVIDIA)


def available_cpus() -> int:
    """The number of threads that can be at work here at once: cores that this process may use, within its quota."""
    return max(1, math.ceil(min(cores(), cgroups.cpus())))


def free_memory() -> int:
    """Bytes of memory that are free here, within the limits of a container or batch job."""
    return max(0, int(min(psutil.virtual_memory().available, cgroups.free_memory())))


def _cpuinfo() -> dict[str, str]:
    """Of the first core; Linux alone has it."""
    if not CPUINFO.is_file():
        return {}
    first = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
