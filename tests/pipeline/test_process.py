"""A checkout runs each stage only once at a time, and a stage ends with the DVC process that started it."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from stages import __main__ as launcher
from stages.launcher import params_file, process

STAGE_SCRIPT = """
import sys, time
sys.path[:0] = [{root!r}, {root!r} + "/src"]
from stages.launcher import process
process.end_with_dvc()
with process.hold_stage_lock("s", wait_s={wait}):
    print("at work", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _run_in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _start_python(code: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options)


def _start_stage(wait: float = 0, name: str = "s") -> subprocess.Popen[str]:
    return _start_python(STAGE_SCRIPT.format(root=str(ROOT), wait=wait).replace('"s"', f'"{name}"'))


def _read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_second_run_is_rejected_and_a_killed_one_leaves_no_lock():
    with _start_stage() as first:
        assert _read_line(first) == "at work\n"
        with pytest.raises(UserError, match="Only one run of a stage"), process.hold_stage_lock("s", wait_s=0.2):
            pass
        with process.hold_stage_lock("another"):
            pass
        first.kill()
    with process.hold_stage_lock("s", wait_s=0.2) as killed_before:
        assert killed_before
    with process.hold_stage_lock("s", wait_s=0.2) as killed_before:
        assert not killed_before
    with pytest.raises(KeyboardInterrupt), process.hold_stage_lock("s"):
        raise KeyboardInterrupt
    with process.hold_stage_lock("s", wait_s=0.2) as killed_before:
        assert not killed_before, "Ctrl-C does not count as a kill"


def test_the_run_after_a_kill_names_parameters_that_reduce_memory(monkeypatch, capsys):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, name)
    with _start_stage(name="train_cnn") as killed:
        _read_line(killed)
        killed.kill()
    monkeypatch.setattr("sys.argv", ["stages", "train_cnn"])
    monkeypatch.setattr("stages.__main__.importlib.import_module", lambda _: SimpleNamespace(main=lambda *_: None))
    assert launcher.main() == 0
    message = " ".join(capsys.readouterr().err.split())
    assert "The previous run of train_cnn was killed. If you did not stop it, it probably ran out of memory." in message
    assert "Lower train_cnn.image_size or train_cnn.batch_size, or set train_cnn.cache to disk" in message
    assert launcher.main() == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error_number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_reported(error_number, monkeypatch):
    def fail(*_):
        raise OSError(error_number, os.strerror(error_number))

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(UserError, match=r"must have file locks \(flock\)"), process.hold_stage_lock("s"):
        pass


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        ("python -m stages train_cnn", "train_cnn"),
        ("taskset -c 0,1 python -m stages train_cnn", "train_cnn"),
        ("timeout 3600 .venv/bin/python -m stages embed irv2 2>&1 | tee log", "embed irv2"),
        ("srun -n 1 env -u DVC_STAGE python3 -m stages finetune edge && echo done", "finetune edge"),
        ('bash -c "python -m stages split"', "split"),
        (["mkdir -p logs", "python -m stages split"], "split"),
    ],
)
def test_the_stage_is_found_behind_a_wrapper_in_cmd(command, stage):
    assert params_file.stage_of(command) == stage


def test_a_python_without_the_packages_is_rejected():
    command = [sys.executable, "-S", "-m", "stages", "split"]  # -S hides the installed packages
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2
    assert f"Received: {sys.executable}, Python 3." in result.stderr
    assert "or run `make repro`" in result.stderr


def test_a_second_run_waits_for_the_first():
    with _start_stage() as first:
        _read_line(first)
        with _start_stage(wait=20) as second:
            time.sleep(0.3)
            first.kill()
            assert _read_line(second) == "at work\n"
            second.kill()


@pytest.mark.parametrize("wrapper", [[], ["sh", "-c"], ["bash", "-c"], ["timeout", "100"], ["sh", "-c", "timeout 100"]])
def test_a_stage_ends_when_its_dvc_is_killed(wrapper, tmp_path):
    """A process takes the place of DVC. It starts the stage as DVC does: directly, or through a shell or a wrapper."""
    stage = STAGE_SCRIPT.format(root=str(ROOT), wait=0)
    (tmp_path / "stage.py").write_text(stage)
    command = [*wrapper, sys.executable, "stage.py"]
    if "-c" in wrapper:
        # The second command keeps the shell from replacing itself by the first one.
        command = [*wrapper[:2], f"{' '.join([*wrapper[2:], sys.executable])} stage.py; true"]
    code = f"import subprocess; subprocess.run({command!r})"
    with _start_python(code, env=os.environ | {"DVC_STAGE": "s"}) as dvc:
        assert _read_line(dvc) == "at work\n"
        processes = psutil.Process(dvc.pid).children(recursive=True)
        assert len(processes) == 1 + ("-c" in wrapper) + ("timeout" in " ".join(wrapper))
        dvc.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert not alive
    with process.hold_stage_lock("s", wait_s=0.2) as killed_before:
        assert not killed_before, "a killed DVC is no sign of too little memory"


def test_a_stage_does_nothing_if_its_dvc_was_killed_at_once():
    stage = "import time\ntime.sleep(1)\n" + STAGE_SCRIPT.format(root=str(ROOT), wait=0)
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stage!r}])"
    start = time.monotonic()
    with _start_python(code, env=os.environ | {"DVC_STAGE": "s"}, stderr=subprocess.STDOUT) as dvc:
        assert dvc.stdout is not None
        output = dvc.stdout.read()  # ends when the stage ends, which keeps the pipe open
    assert "DVC must be among the processes that started the stage" in output
    assert "at work" not in output
    assert time.monotonic() - start < 30


def test_a_stage_started_by_hand_needs_no_parent(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    script = STAGE_SCRIPT.format(root=str(ROOT), wait=0)
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {script!r}])"
    with _start_python(code) as parent:
        assert _read_line(parent) == "at work\n"
    time.sleep(1.2)
    processes = psutil.process_iter(["cmdline"])
    (stage,) = [process for process in processes if "stages.launcher import process" in str(process.info["cmdline"])]
    stage.kill()
