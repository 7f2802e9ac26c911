"""`realwaste report --against` a run whose files are damaged or of something else: two lines, and no page."""

import json
import os
import shutil

import pandas as pd
import pytest
from report.test_two_runs import write_run
from typer.testing import CliRunner

from realwaste.__main__ import app

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
SCORES, PREDICTIONS, HISTORY = "metrics/compare.json", "data/predictions.csv", "plots/data/history_cnn.csv"


def _change(**values):
    """Of a record: values of its top level, or of the row of a model where they are a mapping."""

    def change(path):
        record = json.loads(path.read_text())
        for key, value in values.items():
            record[key] = record[key] | value if isinstance(value, dict) else value
        path.write_text(json.dumps(record))

    return change


def _without(column):
    return lambda path: pd.read_csv(path).drop(columns=column).to_csv(path, index=False)


def _with(**columns):
    return lambda path: pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def _cut(path):
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])


def _text(data):
    return lambda path: path.write_bytes(data)


CASES = [
    (SCORES, os.unlink),
    (SCORES, _text(b"")),
    (SCORES, _text(b"[]")),
    (SCORES, _text(b"[" * 100_000)),
    (SCORES, _text(b"\xff\xfe{}")),
    (SCORES, _text(b'{"dataset": "photos"}')),
    (SCORES, _change(cnn={"test_accuracy": "high"})),
    (SCORES, _change(cnn={"test_accuracy_low": None})),
    (SCORES, _change(cnn={"test_loss": [1]})),
    (SCORES, _change(cnn={"backbone": 3})),
    (SCORES, _change(machine="fast")),
    ("metrics/evaluate.json", _text(b"3")),
    ("metrics/evaluate.json", _change(cnn={"temperature": 0})),
    ("metrics/split.json", _change(test="all")),
    (HISTORY, _text(b"")),
    (HISTORY, _without("val_loss")),
    (HISTORY, _with(loss="low")),
    ("plots/data/confusion.csv", _without("images")),
    ("plots/data/confusion.csv", _text(b'model,actual\n"cut')),
    (PREDICTIONS, _cut),
    (PREDICTIONS, _text(b"")),
    (PREDICTIONS, _without("model")),
    (PREDICTIONS, _with(split="none")),
    (PREDICTIONS, _with(path="same.jpg")),
    (PREDICTIONS, _with(p_paper="much")),
    ("data/manifest.csv", _without("sha256")),
    ("dvc.lock", _text(b"stages: 3")),
    ("dvc.lock", _text(b"{{")),
    ("dvc.lock", _text(b"stages: {a: [1]}")),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    for folder in ("here", "other"):
        write_run(root / folder, correct={"cnn": 20, "irv2": 20})
    return root


@pytest.fixture
def runs(whole, tmp_path, monkeypatch):
    """Two folders as runs leave them, the first of which is the present folder."""
    here, other = (shutil.copytree(whole / folder, tmp_path / folder) for folder in ("here", "other"))
    monkeypatch.chdir(here)
    return here, other


@pytest.mark.parametrize(("name", "damage"), CASES, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("side", ["this run", "other"])
def test_a_damaged_file_is_named_in_two_lines(name, damage, side, runs):
    here, other = runs
    damage((here if side == "this run" else other) / name)
    done = CliRunner().invoke(app, ["report", "--against", str(other), "-o", "page.html"])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    message = " ".join(done.stderr.split())
    if (name, side, damage) == (SCORES, "other", os.unlink):  # such a folder is no run at all
        assert "--against must name an experiment, a git revision, or a folder with metrics/ and plots/." in message
    else:
        assert f"A run must have a complete {name}" in message
        assert f"{side}" in message
    assert not (here / "page.html").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_in_place_of_a_file_is_no_file(runs):
    _, other = runs
    (other / HISTORY).unlink()
    os.mkfifo(other / HISTORY)
    done = CliRunner().invoke(app, ["report", "--against", str(other)])
    assert (done.exit_code, done.stdout) == (0, "dvc_plots/against_other.html\n")
