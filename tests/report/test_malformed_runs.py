"""`realwaste report --against` a run with damaged files names the file and writes no page."""

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


def _update_record(**values):
    """Set values of a JSON record; a mapping updates the mapping of that key, such as the metrics of a model."""

    def update(path):
        record = json.loads(path.read_text())
        for key, value in values.items():
            record[key] = record[key] | value if isinstance(value, dict) else value
        path.write_text(json.dumps(record))

    return update


def _drop_column(column):
    return lambda path: pd.read_csv(path).drop(columns=column).to_csv(path, index=False)


def _assign_columns(**columns):
    return lambda path: pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def _truncate(path):
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])


def _replace_content(data):
    return lambda path: path.write_bytes(data)


CASES = [
    (SCORES, os.unlink),
    (SCORES, _replace_content(b"")),
    (SCORES, _replace_content(b"[]")),
    (SCORES, _replace_content(b"[" * 100_000)),
    (SCORES, _replace_content(b"\xff\xfe{}")),
    (SCORES, _replace_content(b'{"dataset": "photos"}')),
    (SCORES, _update_record(cnn={"test_accuracy": "high"})),
    (SCORES, _update_record(cnn={"test_accuracy_low": None})),
    (SCORES, _update_record(cnn={"test_loss": [1]})),
    (SCORES, _update_record(cnn={"backbone": 3})),
    (SCORES, _update_record(machine="fast")),
    ("metrics/evaluate.json", _replace_content(b"3")),
    ("metrics/evaluate.json", _update_record(cnn={"temperature": 0})),
    ("metrics/split.json", _update_record(test="all")),
    (HISTORY, _replace_content(b"")),
    (HISTORY, _drop_column("val_loss")),
    (HISTORY, _assign_columns(loss="low")),
    ("plots/data/confusion.csv", _drop_column("images")),
    ("plots/data/confusion.csv", _replace_content(b'model,actual\n"cut')),
    (PREDICTIONS, _truncate),
    (PREDICTIONS, _replace_content(b"")),
    (PREDICTIONS, _drop_column("model")),
    (PREDICTIONS, _assign_columns(split="none")),
    (PREDICTIONS, _assign_columns(path="same.jpg")),
    (PREDICTIONS, _assign_columns(p_paper="much")),
    ("data/manifest.csv", _drop_column("sha256")),
    ("dvc.lock", _replace_content(b"stages: 3")),
    ("dvc.lock", _replace_content(b"{{")),
    ("dvc.lock", _replace_content(b"stages: {a: [1]}")),
]


@pytest.fixture(scope="module")
def complete_runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for folder in ("here", "other"):
        write_run(root / folder, correct={"cnn": 20, "irv2": 20})
    return root


@pytest.fixture
def runs(complete_runs, tmp_path, monkeypatch):
    """The folders of two complete runs, the first of which is the current folder."""
    this_run, other_run = (shutil.copytree(complete_runs / folder, tmp_path / folder) for folder in ("here", "other"))
    monkeypatch.chdir(this_run)
    return this_run, other_run


@pytest.mark.parametrize(("name", "damage"), CASES, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("side", ["this run", "other"])
def test_report_against_names_a_damaged_file_and_writes_no_page(name, damage, side, runs):
    this_run, other_run = runs
    damage((this_run if side == "this run" else other_run) / name)
    result = CliRunner().invoke(app, ["report", "--against", str(other_run), "-o", "page.html"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    message = " ".join(result.stderr.split())
    if (name, side, damage) == (SCORES, "other", os.unlink):  # a folder without it does not count as a run
        assert "--against must name an experiment, a git revision, or a folder with metrics/ and plots/." in message
    else:
        assert f"A run must have a complete {name}" in message
        assert f"{side}" in message
    assert not (this_run / "page.html").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_report_against_ignores_a_named_pipe_in_place_of_a_history(runs):
    _, other_run = runs
    (other_run / HISTORY).unlink()
    os.mkfifo(other_run / HISTORY)
    result = CliRunner().invoke(app, ["report", "--against", str(other_run)])
    assert (result.exit_code, result.stdout) == (0, "dvc_plots/against_other.html\n")
