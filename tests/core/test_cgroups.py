"""Free memory and CPUs within the limits of containers, batch jobs and systemd units, by cgroups and their parents."""

import os
from types import SimpleNamespace

import pytest

from realwaste.core import machine

GB = 10**9


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """groups("0::/a/b\\n", {"a/memory.max": "5"}) simulates a process in this group, with these files."""
    monkeypatch.setattr(machine, "CGROUP_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "CGROUP_ROOT", tmp_path / "tree")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=64 * GB))
    monkeypatch.setattr(machine, "cores", lambda: 16)

    def make(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "tree" / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")

    return make


def _version_2(group, limit, used=GB, inactive=0, limit_name="memory.max"):
    stat = f"anon 5\nactive_file 7\ninactive_file {inactive}"
    return {f"{group}/{limit_name}": limit, f"{group}/memory.current": used, f"{group}/memory.stat": stat}


def _version_1(group, limit, used=GB, inactive=0):
    files = {"limit_in_bytes": limit, "usage_in_bytes": used}
    files["stat"] = f"inactive_file 5\ntotal_inactive_file {inactive}"
    return {f"memory{group}/memory.{name}": text for name, text in files.items()}


NO_LIMIT_1 = 9223372036854771712
MEMORY = {
    "own group": ("0::/slice/job\n", _version_2("slice/job", 3 * GB), 2 * GB),
    "a parent's": ("0::/slice/job\n", _version_2("slice/job", "max") | _version_2("slice", 4 * GB, 2 * GB), 2 * GB),
    "the nearest to its limit": ("0::/s/j\n", _version_2("s/j", 9 * GB) | _version_2("s", 10 * GB, 7 * GB), 3 * GB),
    "files that were read once": ("0::/job\n", _version_2("job", 5 * GB, 2 * GB, GB), 4 * GB),
    "where it is slowed down": ("0::/job\n", _version_2("job", 5 * GB, GB, 0, "memory.high"), 4 * GB),
    "a container": ("0::/\n", _version_2("", 3 * GB), 2 * GB),
    "a container that sees the host's path": ("0::/docker/1\n", _version_2("", 3 * GB), 2 * GB),
    "no limit": ("0::/job\n", _version_2("job", "max"), 64 * GB),
    "more used than allowed": ("0::/job\n", _version_2("job", GB, 2 * GB), 0),
    "a group that has ended": ("0::/job\n", {"job/memory.max": 5}, 64 * GB),
    "no controller": ("0::/job\n", {"job/cgroup.procs": ""}, 64 * GB),
    "no group": ("", {}, 64 * GB),
    "version 1": ("5:cpu,cpuacct:/\n4:memory:/a/job\n", _version_1("/a/job", 3 * GB), 2 * GB),
    "version 1, a parent's": (
        "4:memory:/a/job\n0::/\n",
        _version_1("/a/job", NO_LIMIT_1) | _version_1("/a", 5 * GB, 2 * GB, GB) | _version_1("", NO_LIMIT_1),
        4 * GB,
    ),
    "version 1, a container": ("4:memory:/docker/1\n", _version_1("", 3 * GB), 2 * GB),
    "version 1, no limit": ("4:memory:/a/job\n", _version_1("/a/job", NO_LIMIT_1), 64 * GB),
    "another job's": ("0::/a:b/job\n", _version_2("a:b/other", GB), 64 * GB),
    "both versions": ("4:memory:/j\n0::/j\n", _version_1("/j", 9 * GB) | _version_2("unified/j", 3 * GB), 2 * GB),
}


@pytest.mark.parametrize(("membership", "files", "free"), MEMORY.values(), ids=MEMORY)
def test_free_memory(membership, files, free, groups):
    groups(membership, files)
    assert machine.free_memory() == free


CPUS = {
    "own group": ("0::/a/job\n", {"a/job/cpu.max": "200000 100000"}, 2),
    "a parent's": ("0::/a/job\n", {"a/job/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
    "a part of a core more": ("0::/job\n", {"job/cpu.max": "150000 100000"}, 2),
    "a part of a core": ("0::/job\n", {"job/cpu.max": "10000 100000"}, 1),
    "no limit": ("0::/job\n", {"job/cpu.max": "max 100000"}, 16),
    "more than there are": ("0::/job\n", {"job/cpu.max": "9900000 100000"}, 16),
    "no group": ("", {}, 16),
    "version 1": (
        "4:cpu,cpuacct:/a/job\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": 400000, "cpu,cpuacct/a/cpu.cfs_period_us": 100000},
        4,
    ),
    "version 1, no limit": ("4:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": -1, "cpu/job/cpu.cfs_period_us": 100000}, 16),
}


@pytest.mark.parametrize(("membership", "files", "count"), CPUS.values(), ids=CPUS)
def test_available_cpus(membership, files, count, groups):
    groups(membership, files)
    assert machine.available_cpus() == count


def test_this_machine_has_memory_and_cpus():
    assert machine.free_memory() > 0
    assert 1 <= machine.available_cpus() <= (os.cpu_count() or 1)
