"""The report's Table 1 (section 2.7), measured: a row of figures a model, for metrics/compare.json."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from realwaste.evaluation import intervals, prediction_table, scores
from realwaste.models.probabilities import Labels, Probabilities
from realwaste.report.factors import EXPORTS, Row, external_keys

# The report's test accuracies (sections 1.12 and 2.6). Its pretrained models were tested on other images (976, not
# 951) than its CNN, so they stand beside ours and are never subtracted.
REPORTED = {"cnn": 0.6183, "irv2": 0.8637, "densenet": 0.8617}


def build_rows(
    evaluated: Mapping[str, Any],
    trainings: Mapping[str, Row],
    seconds: Mapping[str, float],
    predicted: pd.DataFrame,
    origin: str,
    *,
    outside: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """The measured figures of each model, flat.

    Args:
        evaluated: metrics/evaluate.json merged with metrics/cost.json, a model.
        trainings: with `backbone` and `weights`, a model.
        seconds: of its training, the embedding included, a model.
        predicted: the predictions table.
        origin: of the data set, as fetch found it; the report's own figures are added only on "realwaste".
        outside: `sets` of metrics/external.json.
    """
    rows = {}
    for model, facts in trainings.items():
        own = predicted[predicted["model"] == model]
        rows[model] = {
            "backbone": facts["backbone"],
            "weights": facts["weights"],
            **{key: evaluated[model][key] for key in _FROM_EVALUATE if key in evaluated[model]},
            **_learned(own, evaluated[model]),
            "training_seconds": seconds[model],
            **dict(_curve(evaluated[model].get("learning_curve", {}))),
            **dict(_elsewhere(model, evaluated[model], outside or {})),
        }
        if origin == "realwaste" and model in REPORTED:
            rows[model]["reported_test_accuracy"] = REPORTED[model]
    return rows


_FROM_EVALUATE = (
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "test_accuracy_by",
    "test_groups",
    "test_loss",
    "macro_f1",
    "macro_f1_low",
    "macro_f1_high",
    "macro_f1_by",
    "ece",
    "ece_calibrated",
    "parameters",
    "trainable_parameters",
    "multiply_adds",
    "layers",
    "trained_layers",
    "file_mb",
    "latency_ms",
    *EXPORTS,
)


def _learned(own: pd.DataFrame, evaluated: Row) -> dict[str, float]:
    """How well it knows what it learned from, and how much of that is gone in the test (MOVER's interval)."""
    parts = {part: own[own["split"] == part] for part in ("train", "val")}
    train, val = (scores.accuracy(*_answered(rows)) for rows in parts.values())
    known = intervals.accuracy_with_intervals(*_answered(parts["train"]), parts["train"]["group"].to_numpy())
    test = {f"accuracy{end}": evaluated[f"test_accuracy{end}"] for end in ("", "_low", "_high")}
    gap = intervals.accuracy_change(test | {"images": 1}, known | {"images": 1})
    return {
        "train_accuracy": train,
        "val_accuracy": val,
        "train_val_gap": train - val,
        **{f"train_test_gap{end}": gap[f"difference{end}"] for end in ("", "_low", "_high")},
    }


def _answered(rows: pd.DataFrame) -> tuple[Labels, Probabilities]:
    return prediction_table.labels_of(rows), prediction_table.probabilities_of(rows)


def _curve(found: Row) -> Iterator[tuple[str, float]]:
    """accuracy_at_10, its interval and its images, and so on."""
    for name, own in found.items():
        if name.startswith("at_"):
            yield f"images_{name}", own["images"]
            for end in ("", "_low", "_high"):
                yield f"accuracy_{name}{end}", own[f"accuracy{end}"]


def _elsewhere(model: str, evaluated: Row, outside: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if folds := evaluated.get("other_splits"):
        yield "other_splits_accuracy", folds["accuracy_mean"]
        yield "other_splits_accuracy_std", folds["accuracy_std"]
    keys = external_keys(outside)
    for name, facts in outside.items():
        own, key = facts["models"].get(model), keys[name]
        if own and own["outside"]["images"]:
            for end in ("", "_low", "_high"):
                yield f"{key}_accuracy{end}", own["outside"][f"accuracy{end}"]
