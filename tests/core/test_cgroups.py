"""Free memory and CPUs within the cgroup limits of containers, batch jobs and systemd units."""

import os
from types import SimpleNamespace

import pytest

from realwaste.core import machine

GB = 10**9


@pytest.fixture
def set_cgroups(tmp_path, monkeypatch):
    """set_cgroups("0::/a/b\\n", {"a/memory.max": "5"}) simulates a process in this cgroup, with these files."""
    monkeypatch.setattr(machine, "CGROUP_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "CGROUP_ROOT", tmp_path / "tree")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=64 * GB))
    monkeypatch.setattr(machine, "cores", lambda: 16)

    def write_files(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "tree" / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")

    return write_files


def _v2_files(group, limit, used=GB, inactive=0, limit_name="memory.max"):
    stat = f"anon 5\nactive_file 7\ninactive_file {inactive}"
    return {f"{group}/{limit_name}": limit, f"{group}/memory.current": used, f"{group}/memory.stat": stat}


def _v1_files(group, limit, used=GB, inactive=0):
    files = {"limit_in_bytes": limit, "usage_in_bytes": used}
    files["stat"] = f"inactive_file 5\ntotal_inactive_file {inactive}"
    return {f"memory{group}/memory.{name}": text for name, text in files.items()}


NO_LIMIT_V1 = 9223372036854771712
MEMORY = {
    "innermost group": ("0::/slice/job\n", _v2_files("slice/job", 3 * GB), 2 * GB),
    "parent group": ("0::/slice/job\n", _v2_files("slice/job", "max") | _v2_files("slice", 4 * GB, 2 * GB), 2 * GB),
    "group with the least free memory": (
        "0::/s/j\n",
        _v2_files("s/j", 9 * GB) | _v2_files("s", 10 * GB, 7 * GB),
        3 * GB,
    ),
    "inactive file pages are free": ("0::/job\n", _v2_files("job", 5 * GB, 2 * GB, GB), 4 * GB),
    "memory.high": ("0::/job\n", _v2_files("job", 5 * GB, GB, 0, "memory.high"), 4 * GB),
    "container": ("0::/\n", _v2_files("", 3 * GB), 2 * GB),
    "container with the path on the host": ("0::/docker/1\n", _v2_files("", 3 * GB), 2 * GB),
    "no limit": ("0::/job\n", _v2_files("job", "max"), 64 * GB),
    "usage above the limit": ("0::/job\n", _v2_files("job", GB, 2 * GB), 0),
    "group that has ended": ("0::/job\n", {"job/memory.max": 5}, 64 * GB),
    "no controller": ("0::/job\n", {"job/cgroup.procs": ""}, 64 * GB),
    "no group": ("", {}, 64 * GB),
    "version 1": ("5:cpu,cpuacct:/\n4:memory:/a/job\n", _v1_files("/a/job", 3 * GB), 2 * GB),
    "version 1, parent group": (
        "4:memory:/a/job\n0::/\n",
        _v1_files("/a/job", NO_LIMIT_V1) | _v1_files("/a", 5 * GB, 2 * GB, GB) | _v1_files("", NO_LIMIT_V1),
        4 * GB,
    ),
    "version 1, container": ("4:memory:/docker/1\n", _v1_files("", 3 * GB), 2 * GB),
    "version 1, no limit": ("4:memory:/a/job\n", _v1_files("/a/job", NO_LIMIT_V1), 64 * GB),
    "limit of another group": ("0::/a:b/job\n", _v2_files("a:b/other", GB), 64 * GB),
    "both versions": ("4:memory:/j\n0::/j\n", _v1_files("/j", 9 * GB) | _v2_files("unified/j", 3 * GB), 2 * GB),
}


@pytest.mark.parametrize(("membership", "files", "free"), MEMORY.values(), ids=MEMORY)
def test_free_memory_respects_the_limits_of_the_cgroup_and_its_parents(membership, files, free, set_cgroups):
    set_cgroups(membership, files)
    assert machine.free_memory() == free


CPUS = {
    "innermost group": ("0::/a/job\n", {"a/job/cpu.max": "200000 100000"}, 2),
    "parent group": ("0::/a/job\n", {"a/job/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
    "fraction of a core rounded up": ("0::/job\n", {"job/cpu.max": "150000 100000"}, 2),
    "less than one core": ("0::/job\n", {"job/cpu.max": "10000 100000"}, 1),
    "no limit": ("0::/job\n", {"job/cpu.max": "max 100000"}, 16),
    "quota above the core count": ("0::/job\n", {"job/cpu.max": "9900000 100000"}, 16),
    "no group": ("", {}, 16),
    "version 1": (
        "4:cpu,cpuacct:/a/job\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": 400000, "cpu,cpuacct/a/cpu.cfs_period_us": 100000},
        4,
    ),
    "version 1, no limit": ("4:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": -1, "cpu/job/cpu.cfs_period_us": 100000}, 16),
}


@pytest.mark.parametrize(("membership", "files", "count"), CPUS.values(), ids=CPUS)
def test_available_cpus_respects_the_quotas_of_the_cgroup_and_its_parents(membership, files, count, set_cgroups):
    set_cgroups(membership, files)
    assert machine.available_cpus() == count


def test_this_machine_has_memory_and_cpus():
    assert machine.free_memory() > 0
    assert 1 <= machine.available_cpus() <= (os.cpu_count() or 1)
