"""The table of `python -m tools.experiments`, built from the rows of `dvc exp show`."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from tools import experiments

SYNTHETIC = {"metrics/summary.json:dataset": "synthetic", "metrics/compare.json:origin": "synthetic"}


def _make_row(
    name: str | None, rev: str, values: Mapping[str, Any] | None = None, val: float | None = 0.5
) -> dict[str, Any]:
    """A row as dvc.api.exp_show returns it: numbers are floats, other values are text."""
    summary = {
        "best_model": "irv2",
        "best_val_accuracy": val,
        "best_test_accuracy": 0.25,
        "best_test_accuracy_low": 0.125,
        "best_test_accuracy_high": 0.375,
        "training_seconds": 61.5,
        "metrics/compare.json:irv2.weights": "random",
    }
    experiment = {"Experiment": name, "rev": rev, "typ": "branch_commit" if name else "baseline", "State": None}
    experiment["Created"] = "Nov 30, 2026"
    parameters = {"train_cnn.epochs": 20.0, "finetune_irv2.backbone": "InceptionResNetV2", "fetch.sha256": "None"}
    return experiment | (summary if val is not None else {}) | SYNTHETIC | parameters | dict(values or {})


def _render_table(*rows: dict[str, Any]) -> tuple[str, dict[str, str]]:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(experiments.build_table(rows))
    text = capture.get()
    names = {row["Experiment"] or row["rev"] for row in rows}
    return text, {name: line for line in text.splitlines() for name in names if f" {name} " in line}


def test_a_row_shows_the_best_model_its_scores_and_the_changed_parameters():
    text, lines = _render_table(
        _make_row(None, "workspace", {"train_cnn.epochs": 5.0, "fetch.sha256": "0f"}),
        _make_row(None, "main"),
        _make_row("light", "abc", {"finetune_irv2.backbone": "MobileNetV2"}, val=0.75),
    )
    assert lines["workspace"].split()[-2:] == ["train_cnn.epochs=5,", "fetch.sha256=0f"]
    scores = ["irv2*", "0.500", "0.250", "(0.125", "to", "0.375)", "62", "s"]
    assert lines["main"].split() == ["main", "Nov", "30,", "2026", *scores]
    assert lines["light"].rstrip().endswith("finetune_irv2.backbone=MobileNetV2")
    assert [experiments.BEST in lines[name] for name in ("workspace", "main", "light")] == [False, False, True]
    assert "* a backbone with RANDOM weights" in text
    assert "generated pictures" in text
    assert "data set" not in text


def test_the_best_score_is_marked_within_each_data_set():
    other_rows = [
        _make_row(name, name, {"metrics/summary.json:dataset": "mine"}, val=val)
        for name, val in (("first", 0.9), ("second", 0.8))
    ]
    text, lines = _render_table(_make_row(None, "main"), *other_rows)
    assert "data set" in text
    assert [experiments.BEST in lines[name] for name in ("main", "first", "second")] == [True, True, False]


def test_photographs_and_pretrained_weights_have_no_warning():
    metrics = {"metrics/compare.json:origin": "given", "metrics/compare.json:irv2.weights": "imagenet"}
    text, _ = _render_table(_make_row(None, "main", metrics))
    assert "*" not in text
    assert "generated" not in text


def test_a_queued_experiment_has_no_scores():
    queued = {key: value for key, value in _make_row("later", "abc", val=None).items() if not key.startswith("metrics")}
    _, lines = _render_table(_make_row(None, "main"), queued | {"State": "Queued", "Created": None})
    assert lines["later"].split() == ["later", "(queued)"]
