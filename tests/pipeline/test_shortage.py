"""Without disk space, permission or memory, a stage prints an error of two lines and keeps earlier results."""

import errno
import functools
import operator
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.parts.child import ROOT
from realwaste.core.files import atomic_replace
from stages import __main__ as launcher
from stages.launcher import params_file


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "models/cnn.keras"),
            "room on the disk to write models/cnn.keras",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "room on the disk"),
        (OSError(errno.EROFS, "Read-only file system", "metrics/a.json"), r"metrics/a\.json must be writable"),
        (PermissionError(errno.EACCES, "Permission denied", "plots"), "plots must be writable"),
        (MemoryError(), "enough memory"),
        (type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor\nmore"), "OOM when allocating"),
    ],
)
def test_a_resource_error_names_what_is_missing(error, message):
    assert message.replace("\\", "") in str(launcher._resource_error(error, "train_cnn")).replace("\\", "")


@pytest.mark.parametrize("stage", params_file.read_stages(ROOT / "dvc.yaml"))
def test_a_memory_error_names_parameters_of_the_stage(stage):
    values = params_file.read_yaml(ROOT / "params.yaml")
    keys = re.findall(r"[a-z]\w+\.[a-z_.]*[a-z]", str(launcher._resource_error(MemoryError(), stage)))
    for key in keys:
        functools.reduce(operator.getitem, key.split("."), values)  # fails for an unknown parameter
        section = "train_cnn" if stage == "lr_sweep" else stage.removeprefix("embed_")
        assert stage == "evaluate" or key.split(".")[0].endswith(section)


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError("no number"), FileNotFoundError(errno.ENOENT, "x"), KeyError(1)]
)
def test_other_exceptions_keep_their_traceback(error):
    assert launcher._resource_error(error, "fetch") is None


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "a.json").write_text("before")

    def fail_to_write() -> None:
        with atomic_replace(tmp_path / "a.json") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail_to_write()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "before"


def test_the_next_write_deletes_the_temporary_file_of_a_killed_writer(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as killed_writer:
        killed_writer.wait()
    (tmp_path / f".tmp-{killed_writer.pid}-a.json").write_text("half")
    (tmp_path / f".tmp-{killed_writer.pid}-b.json").write_text("of another file")
    (tmp_path / ".tmp-1-a.json").write_text("of a running writer")
    with atomic_replace(tmp_path / "a.json") as temporary:
        temporary.write_text("whole")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted([".tmp-1-a.json", f".tmp-{killed_writer.pid}-b.json", "a.json"])


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(folder)], check=False)
    if mount.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_full_disk_is_reported(small_disk, tmp_path, images):
    """validate_images runs with its charts on a disk of 400 kB that is nearly full."""
    root = images(glass=8, metal=8, inside="raw")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    root.rename(tmp_path / "data/raw")
    (tmp_path / "data/dataset.json").write_text('{"dataset": "drawn", "origin": "given"}')
    (tmp_path / "plots").symlink_to(small_disk)
    (small_disk / "class_distribution.png").write_bytes(b"before")
    (small_disk / "filler").write_bytes(bytes(380 * 1024))
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['stages', 'validate_images']"
    script = f"{code}; from stages.__main__ import main; sys.exit(main())"
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    output = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 1, output
    assert "There must be room on the disk to write" in output
    assert "Traceback" not in output
    assert (small_disk / "class_distribution.png").read_bytes() == b"before"
    assert list(tmp_path.rglob(".tmp-*")) == []
