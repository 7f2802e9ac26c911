"""The log of a run: one line for each stage, none from TensorFlow; with -q only warnings, stand-ins and errors."""

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
from realwaste.embedding import extraction
from realwaste.runtime.inference_engine import Network
from stages import __main__ as launcher

DVC_SCRIPT = """
import subprocess
for command in ({stage!r}, ["sh", "-c", " ".join({stage!r}) + "; true"]):
    subprocess.run(command)
"""
STAGE_SCRIPT = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "src")!r}]
from stages.launcher import process
print(process.is_quiet())
"""


@pytest.mark.parametrize(
    ("arguments", "stage", "quiet"),
    [
        (["repro", "-q"], "s", True),
        (["exp", "run", "--quiet", "-S", "train_cnn.epochs=5"], "s", True),
        (["repro"], "s", False),
        (["exp", "run", "--queue"], "s", False),
        (["exp", "run", "-n", "quick", "-mquick"], "s", False),
        (["-q"], None, False),  # started by hand
    ],
)
def test_is_quiet_detects_the_quiet_option_of_dvc(arguments, stage, quiet, tmp_path):
    """A process takes the place of DVC. It starts the stage as DVC does: directly, and through a shell."""
    (tmp_path / "stage.py").write_text(STAGE_SCRIPT)
    dvc = [sys.executable, "-c", DVC_SCRIPT.format(stage=[sys.executable, "stage.py"]), *arguments]
    result = subprocess.run(dvc, cwd=tmp_path, capture_output=True, text=True, check=True, env=_environment(stage))
    assert result.stdout == f"{quiet}\n" * 2


def test_train_cnn_prints_its_device_the_epochs_and_a_summary(ready_to_train):
    """test_live.py checks a quiet training. base.engine=ray has no effect on this stage."""
    set_params(ready_to_train, base__engine="ray")
    lines = _output_lines(ready_to_train, sys.executable, "-m", "stages", "train_cnn")
    device, summary = (line for line in lines if not line.startswith(("Epoch", "1/1")))
    assert "computes on" in device
    assert "no GPU" in device
    assert "engine" not in device
    assert "CNN: 2 epochs in" in summary


def test_an_error_is_printed_in_a_quiet_run(ready_to_train):
    set_params(ready_to_train, train_cnn__epochs=0)
    lines = _output_lines(ready_to_train, "dvc", "repro", "-q", "-s", "train_cnn", status=255)
    assert "train_cnn.epochs must be valid" in lines[0]


def test_an_unknown_log_level_is_rejected(monkeypatch):
    monkeypatch.setenv("REALWASTE_LOG", "loud")
    with pytest.raises(UserError, match=r"REALWASTE_LOG must be .*\n.*WARNING"):
        launcher._log_level()


@pytest.fixture
def _restored_logger(monkeypatch):
    """Let the test configure the logger of the package, and restore the logger afterwards."""
    for name, value in (("handlers", []), ("propagate", True), ("level", logging.NOTSET)):
        monkeypatch.setattr(log.logger, name, value)


@pytest.mark.usefixtures("_restored_logger")
def test_a_stand_in_is_reported_in_a_quiet_run(capsys):
    log.setup(logging.WARNING)
    log.logger.info("as usual")
    log.logger.warning("take care")
    log.banner("SYNTHETIC", "no network")
    output = capsys.readouterr().err
    assert "as usual" not in output
    assert "take care" in output
    assert "SYNTHETIC" in output


@pytest.mark.usefixtures("_restored_logger")
@pytest.mark.parametrize(("level", "is_shown"), [(logging.INFO, True), (logging.WARNING, False)])
def test_a_quiet_embedding_shows_no_progress_bar(images, capsys, level, is_shown):
    """test_repro.py checks quiet runs of other stages."""
    log.setup(level)
    network = Network(lambda pictures: pictures.mean(axis=(1, 2)), 2, (3,))
    extraction.embed(network, images(glass=2), ["glass/glass_1.jpg", "glass/glass_2.jpg"], image_size=16)
    assert ("embedding" in capsys.readouterr().err) == is_shown


def _output_lines(root, *command: str, status: int = 0) -> list[str]:
    result = subprocess.run(
        command, cwd=root, capture_output=True, text=True, encoding="utf-8", env=_environment(None), check=False
    )
    assert result.returncode == status, result.stderr
    return (result.stdout + result.stderr).splitlines()


def _environment(stage: str | None) -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if name not in {"DVC_STAGE", "REALWASTE_LOG"}}
    return variables | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | ({"DVC_STAGE": stage} if stage else {})
