"""Limits of Linux' control groups, by which containers, batch systems and systemd share a machine out.

A process is in one group of each tree, and the limits of that group and of all its parents hold for it. Version 2 has
one tree for all; version 1 one for each controller; a machine may have both.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

OWN = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
# By version: limits, what is used, and where files' pages stand that were not used lately.
_MEMORY = {
    2: (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    1: (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory() -> float:
    """Bytes that this process may use in addition before a limit is met; infinite where there is none.

    A group's use has every file in it that was read there. Pages of files that were not used lately count as free, as
    Kubernetes counts them: the kernel gives them up before it refuses memory.
    """
    return min((_free(*group) for group in _groups("memory")), default=math.inf)


def cpus() -> float:
    """How many cores' time this process may use by its quotas, in fractions too; infinite where there is none."""
    return min((_quota(*group) for group in _groups("cpu")), default=math.inf)


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """Folder and version of the groups of this process in which `controller` may have a limit, its own ones first.

    Within a container the tree may begin at the container's own group, of which the path says nothing: the parts of the
    path that are not there are passed over.
    """
    lines = OWN.read_text(encoding="utf-8").splitlines() if OWN.is_file() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and controller not in controllers.split(","):
            continue
        trees = [ROOT, ROOT / "unified"] if not controllers else [ROOT / controllers, ROOT / controller]
        own = PurePosixPath(path.lstrip("/"))
        for folder in (tree / group for tree in trees for group in (own, *own.parents)):
            if folder.is_dir():
                yield folder, 1 if controllers else 2


def _free(folder: Path, version: int) -> float:
    limits, used, inactive = _MEMORY[version]
    # A group without the controller has no such files, and one that has just ended has none left.
    with suppress(OSError):
        found = [(folder / name).read_text().strip() for name in limits if (folder / name).is_file()]
        bytes_allowed = min((int(limit) for limit in found if limit != "max"), default=None)
        if bytes_allowed is not None:
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return bytes_allowed - int((folder / used).read_text()) + int(counts[inactive])
    return math.inf


def _quota(folder: Path, version: int) -> float:
    with suppress(OSError):
        if version == 1:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        else:
            quota, period = (folder / "cpu.max").read_text().split()
        if quota not in {"max", "-1"}:
            return int(quota) / int(period)
    return math.inf
