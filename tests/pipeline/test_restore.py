"""`make restore` in a clone whose committed models are on no machine: nothing that was trained there is lost."""

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
TRAIN = """
import pathlib
epochs = pathlib.Path("params.yaml").read_text().split()[-1]
pathlib.Path("models/cnn.keras").write_text(epochs)
pathlib.Path("metrics/train.json").write_text('{"epochs": ' + epochs + "}")
"""


def _run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _identify(folder: Path) -> None:
    _run(folder, "git", "config", "user.name", "A. Tester")
    _run(folder, "git", "config", "user.email", "a@example.org")


def test_the_way_back_keeps_what_was_trained(tmp_path):
    first, clone = tmp_path / "first", tmp_path / "clone"
    files = {"dvc.yaml": PIPELINE, "train.py": TRAIN, "params.yaml": "epochs: 1\n", "plots/a.csv": "x\n"}
    files |= {"models/cnn.md": "card\n", "models/.gitignore": "/cnn.keras\n", "metrics/.gitkeep": ""}
    for name, text in files.items():
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        (first / name).write_text(text)
    shutil.copyfile(ROOT / "Makefile", first / "Makefile")
    _run(first, "git", "init", "-q")
    _identify(first)
    _run(first, "dvc", "init", "-q")
    _run(first, "dvc", "repro", "-q")
    _run(first, "git", "add", "-A")
    _run(first, "git", "commit", "-qm", "run")
    _run(tmp_path, "git", "clone", "-q", "first", "clone")  # without DVC's cache
    _identify(clone)
    (clone / "params.yaml").write_text("epochs: 2\n")
    _run(clone, "dvc", "repro", "-q")

    _run(clone, "make", "restore")
    assert (clone / "params.yaml").read_text() == "epochs: 1\n"
    assert (clone / "metrics/train.json").read_text() == '{"epochs": 1}'
    assert _run(clone, "git", "status", "--short") == ""
    (experiment,) = _run(clone, "dvc", "exp", "list", "--name-only").split()
    _run(clone, "dvc", "exp", "apply", experiment)
    assert (clone / "models/cnn.keras").read_text() == "2"
