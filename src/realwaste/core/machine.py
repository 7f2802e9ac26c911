"""This machine: a record of its hardware for metrics files, and the cores and memory that this process may use.

TensorFlow is not imported here; realwaste.runtime.device lists the GPUs that it sees. Containers, batch systems and
systemd limit processes by control groups (cgroups). A process is in one group of each tree, and the limits of that
group and of all its parents apply. cgroup version 2 has one tree for all controllers; version 1 has a tree for each
controller; a machine may have both.
"""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import psutil

CPUINFO = Path("/proc/cpuinfo")
# Files of NVIDIA's driver: on Linux, in a container with a GPU, and in the Windows Subsystem for Linux.
NVIDIA_FILES = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"), Path("/usr/lib/wsl/lib/nvidia-smi"))
CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")
KEYS = ("processor", "cores", "gpu", "precision", "engine")
INFERENCE = "inference"  # only in records of stages that run inference-only models
NO_GPU = "none"
_NO_VISIBLE_GPU = {"", "-1"}
_PROCESSOR_NUMBERS = {"cpu family": "family", "model": "model"}
# By cgroup version: the files with limits, the file with the usage, and the key in memory.stat for inactive file pages.
_MEMORY_FILES = {
    2: (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    1: (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def record(
    precision: str, *, gpus: Sequence[str] = (), engine: str = "local", inference: str | None = None
) -> dict[str, str | int]:
    """A record of this machine with KEYS, and with INFERENCE if `inference` is given.

    Args:
        precision: the Keras dtype policy, or the dtype of the arrays.
        gpus: names of the GPUs that were used.
        engine: the value of base.engine. With ray this is the machine that started the work; nodes did the computing.
        inference: the library that ran inference-only models: openvino or tensorflow.
    """
    values = processor(), cores(), ", ".join(gpus) or NO_GPU, precision, engine
    facts: dict[str, str | int] = dict(zip(KEYS, values, strict=True))
    return facts if inference is None else facts | {INFERENCE: inference}


def merge_records(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Join several records into one. If records differ in a value, each value is followed by the names that have it.

    Args:
        records: the record of each stage or model, by its name.
    """
    columns = {key: {name: facts[key] for name, facts in records.items() if key in facts} for key in (*KEYS, INFERENCE)}
    return {key: _merge_values(values) for key, values in columns.items() if values}


def _merge_values(values: Mapping[str, Any]) -> Any:
    distinct = list(dict.fromkeys(values.values()))
    if len(distinct) == 1:
        return distinct[0]
    owners = (", ".join(name for name, value in values.items() if value == candidate) for candidate in distinct)
    return " and ".join(f"{value} ({names})" for value, names in zip(distinct, owners, strict=True))


def describe(facts: Mapping[str, Any]) -> str:
    """A record as one line for people."""
    gpu = "no GPU" if facts["gpu"] == NO_GPU else f"GPU {facts['gpu']}"
    engine = "" if facts["engine"] == "local" else f"; engine {facts['engine']}"
    inference = f"; inference by {facts[INFERENCE]}" if INFERENCE in facts else ""
    return f"{facts['processor']}; {facts['cores']} cores; {gpu}; {facts['precision']}{engine}{inference}"


def processor() -> str:
    """The processor's name. On Linux family and model follow, since a name alone may stand for a whole series."""
    facts = _cpuinfo()
    if "model name" in facts:
        numbers = " ".join(f"{word} {facts[key]}" for key, word in _PROCESSOR_NUMBERS.items() if key in facts)
        return f"{facts['model name']} ({numbers})" if numbers else facts["model name"]
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return platform.processor() or platform.machine()


def cores() -> int:
    """The cores in this process's affinity mask. TensorFlow starts as many threads, and results depend on it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_flags() -> set[str]:
    """The processor's features by their Linux names (avx512_bf16, amx_bf16, …); empty on other systems."""
    return set(_cpuinfo().get("flags", "").split())


def may_have_gpu() -> bool:
    """Whether NVIDIA's driver is installed and CUDA_VISIBLE_DEVICES does not hide its GPUs; checks files only."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible not in _NO_VISIBLE_GPU and any(path.exists() for path in NVIDIA_FILES)


def available_cpus() -> int:
    """The number of threads that can run at once: the cores of this process, limited by its cgroups' CPU quotas."""
    quotas = (_cgroup_cpu_quota(*group) for group in _cgroups("cpu"))
    return max(1, math.ceil(min([cores(), *quotas])))


def free_memory() -> int:
    """Bytes of memory that this process may still use, within the limits of a container or batch job.

    A cgroup's usage includes the pages of every file that its processes read. Pages of files that were not used lately
    count as free, as in Kubernetes: the kernel drops them before it refuses memory.
    """
    limits = (_cgroup_free_memory(*group) for group in _cgroups("memory"))
    return max(0, int(min([psutil.virtual_memory().available, *limits])))


def _cgroups(controller: str) -> Iterator[tuple[Path, int]]:
    """Folder and version of each cgroup of this process where `controller` may have a limit, innermost group first.

    Inside a container the mounted tree may start at the container's group, although the path names its parents too:
    parts of the path that do not exist are skipped.
    """
    membership = CGROUP_MEMBERSHIP.read_text(encoding="utf-8") if CGROUP_MEMBERSHIP.is_file() else ""
    for _, controllers, path in (line.split(":", 2) for line in membership.splitlines()):
        if controllers and controller not in controllers.split(","):
            continue
        names = (controllers, controller) if controllers else ("", "unified")
        innermost = PurePosixPath(path.lstrip("/"))
        for folder in (CGROUP_ROOT / name / group for name in names for group in (innermost, *innermost.parents)):
            if folder.is_dir():
                yield folder, 1 if controllers else 2


def _cgroup_free_memory(folder: Path, version: int) -> float:
    """Bytes until the memory limit of a cgroup is reached; infinite without a limit."""
    limit_files, usage_file, inactive_key = _MEMORY_FILES[version]
    # A group without the controller has no such files. A group that has just ended has no files at all.
    with suppress(OSError):
        limits = [(folder / name).read_text().strip() for name in limit_files if (folder / name).is_file()]
        bytes_allowed = min((int(limit) for limit in limits if limit != "max"), default=None)
        if bytes_allowed is not None:
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return bytes_allowed - int((folder / usage_file).read_text()) + int(counts[inactive_key])
    return math.inf


def _cgroup_cpu_quota(folder: Path, version: int) -> float:
    """The cores that the quota of a cgroup allows, which may be a fraction; infinite without a quota."""
    with suppress(OSError):
        if version == 1:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        else:
            quota, period = (folder / "cpu.max").read_text().split()
        if quota not in {"max", "-1"}:
            return int(quota) / int(period)
    return math.inf


def _cpuinfo() -> dict[str, str]:
    """/proc/cpuinfo of the first core; empty on systems other than Linux."""
    if not CPUINFO.is_file():
        return {}
    first_core = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first_core.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
