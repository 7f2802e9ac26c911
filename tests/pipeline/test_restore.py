"""`make restore` in a clone without DVC's cache: what was trained there remains as an experiment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.parts.child import ROOT

PIPELINE = """
stages:
  train:
    cmd: python train.py
    params: [epochs]
    outs: [models/cnn.keras]
    metrics: [{metrics/train.json: {cache: false}}]
"""
TRAIN_SCRIPT = """
import pathlib
epochs = pathlib.Path("params.yaml").read_text().split()[-1]
pathlib.Path("models/cnn.keras").write_text(epochs)
pathlib.Path("metrics/train.json").write_text('{"epochs": ' + epochs + "}")
"""


def _run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _set_git_user(folder: Path) -> None:
    _run(folder, "git", "config", "user.name", "A. Tester")
    _run(folder, "git", "config", "user.email", "a@example.org")


def test_make_restore_keeps_the_trained_model_as_an_experiment(tmp_path):
    origin, clone = tmp_path / "first", tmp_path / "clone"
    files = {"dvc.yaml": PIPELINE, "train.py": TRAIN_SCRIPT, "params.yaml": "epochs: 1\n", "plots/a.csv": "x\n"}
    files |= {"models/cnn.md": "card\n", "models/.gitignore": "/cnn.keras\n", "metrics/.gitkeep": ""}
    for name, text in files.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
    shutil.copyfile(ROOT / "Makefile", origin / "Makefile")
    _run(origin, "git", "init", "-q")
    _set_git_user(origin)
    _run(origin, "dvc", "init", "-q")
    _run(origin, "dvc", "repro", "-q")
    _run(origin, "git", "add", "-A")
    _run(origin, "git", "commit", "-qm", "run")
    _run(tmp_path, "git", "clone", "-q", "first", "clone")  # does not copy DVC's cache
    _set_git_user(clone)
    (clone / "params.yaml").write_text("epochs: 2\n")
    _run(clone, "dvc", "repro", "-q")

    _run(clone, "make", "restore")
    assert (clone / "params.yaml").read_text() == "epochs: 1\n"
    assert (clone / "metrics/train.json").read_text() == '{"epochs": 1}'
    assert _run(clone, "git", "status", "--short") == ""
    (experiment,) = _run(clone, "dvc", "exp", "list", "--name-only").split()
    _run(clone, "dvc", "exp", "apply", experiment)
    assert (clone / "models/cnn.keras").read_text() == "2"
