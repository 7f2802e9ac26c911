"""One run of a stage at a time, and no stage without the DVC that started it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from stages.launcher import process

STAGE = """
import sys, time
sys.path[:0] = [{root!r}, {root!r} + "/src"]
from stages.launcher import process
process.end_with_dvc()
with process.alone("s", wait_s={wait}):
    print("at work", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _stage(wait: float = 0) -> subprocess.Popen[str]:
    code = STAGE.format(root=str(ROOT), wait=wait)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_second_run_is_refused_and_a_killed_one_leaves_no_lock():
    with _stage() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "at work\n"
        with pytest.raises(UserError, match="One run of a stage"), process.alone("s", wait_s=0.2):
            pass
        with process.alone("another"):
            pass
        first.kill()
    with process.alone("s", wait_s=0.2):
        pass


def test_a_second_run_waits_for_the_first():
    with _stage() as first:
        assert first.stdout is not None
        first.stdout.readline()
        with _stage(wait=20) as second:
            assert second.stdout is not None
            time.sleep(0.3)
            first.kill()
            assert second.stdout.readline() == "at work\n"
            second.kill()


@pytest.mark.parametrize("shell", [[], ["sh", "-c"], ["bash", "-c"]])
def test_a_stage_ends_when_its_dvc_is_killed(shell, tmp_path):
    """The DVC here is a process that starts a stage as DVC does, directly or with a shell between."""
    stage = STAGE.format(root=str(ROOT), wait=0)
    (tmp_path / "stage.py").write_text(stage)
    # The second command keeps the shell from making way for the first.
    command = [*shell, f"{sys.executable} stage.py; true"] if shell else [sys.executable, "stage.py"]
    code = f"import subprocess; subprocess.run({command!r})"
    environment = os.environ | {"DVC_STAGE": "s"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as dvc:
        assert dvc.stdout is not None
        assert dvc.stdout.readline() == "at work\n"
        started = psutil.Process(dvc.pid).children(recursive=True)
        assert len(started) == (2 if shell else 1)
        dvc.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(started, timeout=10)
        assert not alive
    with process.alone("s", wait_s=0.2):
        pass


def test_a_stage_whose_dvc_was_killed_before_it_looked_does_nothing():
    stage = "import time\ntime.sleep(1)\n" + STAGE.format(root=str(ROOT), wait=0)
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stage!r}])"
    environment = os.environ | {"DVC_STAGE": "s"}
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as dvc:
        assert dvc.stdout is not None
        assert dvc.stdout.read() == "", "the stage has this open until it ends"
    assert time.monotonic() - began < 30


def test_a_stage_started_by_hand_needs_no_parent(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STAGE.format(root=str(ROOT), wait=0)!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "at work\n"
    time.sleep(1.2)
    (stage,) = [
        one for one in psutil.process_iter(["cmdline"]) if "stages.launcher import process" in str(one.info["cmdline"])
    ]
    stage.kill()
