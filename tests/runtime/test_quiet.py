"""What a run says: one line a stage, nothing of TensorFlow's, and with -q only warnings, stand-ins and errors."""

import logging
import os
import subprocess
import sys

import pytest
from tiny_pipeline import BIN

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import set_params
from realwaste.core import log
from realwaste.core.errors import UserError
from stages import __main__ as launcher

DVC = """
import subprocess, sys
subprocess.run({command!r})
"""
STAGE = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "src")!r}]
from stages.launcher import process
print(process.is_quiet())
"""


@pytest.mark.parametrize(
    ("words", "quiet"),
    [
        (["repro", "-q"], True),
        (["exp", "run", "--quiet", "-S", "train_cnn.epochs=5"], True),
        (["repro"], False),
        (["exp", "run", "--queue"], False),
        (["exp", "run", "-n", "quick", "-mquick"], False),
    ],
)
@pytest.mark.parametrize("shell", [[], ["sh", "-c"]])
def test_a_stage_knows_whether_its_dvc_is_quiet(words, quiet, shell, tmp_path):
    """The DVC here is a process that starts a stage as DVC does, directly or with a shell between."""
    (tmp_path / "stage.py").write_text(STAGE)
    command = [*shell, f"{sys.executable} stage.py; true"] if shell else [sys.executable, "stage.py"]
    dvc = [sys.executable, "-c", DVC.format(command=command), *words]
    said = subprocess.run(dvc, cwd=tmp_path, capture_output=True, text=True, check=True, env=_environment("s")).stdout
    assert said == f"{quiet}\n"


def test_a_stage_started_by_hand_is_not_quiet(tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)
    dvc = [sys.executable, "-c", DVC.format(command=[sys.executable, "stage.py"]), "-q"]
    said = subprocess.run(dvc, cwd=tmp_path, capture_output=True, text=True, check=True, env=_environment(None)).stdout
    assert said == "False\n"


def test_a_training_says_its_device_its_epochs_and_one_line_and_tensorflow_nothing(ready_to_train):
    """That a quiet one says nothing, tests/pipeline/test_live.py asks. base.engine=ray does not concern this stage."""
    set_params(ready_to_train, base__engine="ray")
    said = _said(ready_to_train, sys.executable, "-m", "stages", "train_cnn")
    device, end = (line for line in said if not line.startswith(("Epoch", "1/1")))
    assert "computes on" in device
    assert "no GPU" in device
    assert "engine" not in device
    assert "CNN: 2 epochs in" in end


def test_a_quiet_mistake_is_still_two_lines(ready_to_train):
    set_params(ready_to_train, train_cnn__epochs=0)
    said = _said(ready_to_train, "dvc", "repro", "-q", "-s", "train_cnn", status=255)
    assert "train_cnn.epochs must be right" in said[0]


def test_an_unknown_level_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("REALWASTE_LOG", "loud")
    with pytest.raises(UserError, match=r"REALWASTE_LOG must be .*\n.*WARNING"):
        launcher._level()


def test_a_stand_in_is_said_in_a_quiet_run(capsys, monkeypatch):
    monkeypatch.setattr(log.logger, "handlers", [])
    monkeypatch.setattr(log.logger, "propagate", True)
    monkeypatch.setattr(log.logger, "level", logging.NOTSET)
    log.setup(logging.WARNING)
    log.logger.info("as usual")
    log.logger.warning("take care")
    log.banner("SYNTHETIC", "no network")
    said = capsys.readouterr().err
    assert "as usual" not in said
    assert "take care" in said
    assert "SYNTHETIC" in said


def _said(root, *command: str, status: int = 0) -> list[str]:
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, encoding="utf-8", env=_environment(None), check=False
    )
    assert done.returncode == status, done.stderr
    return (done.stdout + done.stderr).splitlines()


def _environment(stage: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"DVC_STAGE", "REALWASTE_LOG"}}
    return kept | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | ({"DVC_STAGE": stage} if stage else {})
