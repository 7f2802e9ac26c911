"""The table of experiments: what of `dvc exp show` it has, and that it fits a screen."""

from typing import Any

from rich.console import Console

from tools import experiments

DRAWN = {"metrics/compare.json:dataset": "synthetic", "metrics/compare.json:origin": "synthetic"}


def _row(name: str | None, rev: str, **values: Any) -> dict[str, Any]:
    """As dvc.api.exp_show hands them over: numbers as floats, other values as text."""
    measured = {
        f"metrics/compare.json:{model}.{key}": number
        for model in ("cnn", "irv2", "densenet")
        for key, number in (("test_accuracy", 0.25), ("macro_f1", 0.125))
    }
    weights = {"metrics/compare.json:irv2.weights": "random"}
    parameters = {"train_cnn.epochs": 20.0, "finetune_irv2.backbone": "InceptionResNetV2", "fetch.sha256": "None"}
    about = {"Experiment": name, "rev": rev, "typ": "branch_commit" if name else "baseline", "State": None}
    return about | measured | weights | DRAWN | parameters | values


def _shown(*rows: dict[str, Any]) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(experiments.table(rows))
    return captured.get()


def test_a_line_has_the_scores_and_what_was_changed():
    text = _shown(
        _row(None, "workspace", **{"train_cnn.epochs": 5.0, "fetch.sha256": "0f"}),
        _row(None, "main", best_learning_rate=0.001),
        _row("light", "abc", **{"finetune_irv2.backbone": "MobileNetV2"}),
    )
    lines = {words[0]: words for words in map(str.split, text.splitlines()) if words}
    assert lines["workspace"][-2:] == ["train_cnn.epochs=5,", "fetch.sha256=0f"]
    assert lines["main"] == ["main", "synthetic", "0.250", "0.125", "0.250*", "0.125", "0.250", "0.125", "0.001"]
    assert lines["light"][-1] == "finetune_irv2.backbone=MobileNetV2"
    assert "* a backbone with RANDOM weights" in text
    assert "generated pictures" in text


def test_no_caution_where_none_is_needed():
    real = {"metrics/compare.json:origin": "given", "metrics/compare.json:irv2.weights": "imagenet"}
    text = _shown(_row(None, "main", **real))
    assert "*" not in text
    assert "generated" not in text


def test_what_has_not_run_has_no_scores():
    start = _row(None, "main")
    queued = {key: None if key.startswith("metrics") else value for key, value in _row("later", "abc").items()}
    line = next(line for line in _shown(start, queued | {"State": "Queued"}).splitlines() if "later" in line)
    assert line.split() == ["later", "(queued)"]
