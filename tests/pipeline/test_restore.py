"""`make restore` in a clone without DVC's cache: what was trained there remains as an experiment."""

import shutil

from tiny_pipeline import commit, run

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


def test_make_restore_keeps_the_trained_model_as_an_experiment(tmp_path):
    origin, clone = tmp_path / "first", tmp_path / "clone"
    files = {"dvc.yaml": PIPELINE, "train.py": TRAIN_SCRIPT, "params.yaml": "epochs: 1\n", "plots/a.csv": "x\n"}
    files |= {"models/cnn.md": "card\n", "models/.gitignore": "/cnn.keras\n", "metrics/.gitkeep": ""}
    for name, text in files.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
    shutil.copyfile(ROOT / "Makefile", origin / "Makefile")
    run(origin, "git", "init", "-q")
    run(origin, "dvc", "init", "-q")
    run(origin, "dvc", "repro", "-q")
    commit(origin)
    run(tmp_path, "git", "clone", "-q", "first", "clone")  # does not copy DVC's cache
    run(clone, "git", "config", "user.name", "A. Tester")
    run(clone, "git", "config", "user.email", "a@example.org")
    (clone / "params.yaml").write_text("epochs: 2\n")
    run(clone, "dvc", "repro", "-q")

    run(clone, "make", "restore")
    assert (clone / "params.yaml").read_text() == "epochs: 1\n"
    assert (clone / "metrics/train.json").read_text() == '{"epochs": 1}'
    assert run(clone, "git", "status", "--short") == ""
    (experiment,) = run(clone, "dvc", "exp", "list", "--name-only").split()
    run(clone, "dvc", "exp", "apply", experiment)
    assert (clone / "models/cnn.keras").read_text() == "2"
