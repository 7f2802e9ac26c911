"""The metrics of the report's Table 1 (section 2.7): a flat row for each model, for metrics/compare.json."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from realwaste.evaluation import intervals, prediction_table, scores
from realwaste.models.probabilities import Labels, Probabilities
from realwaste.report.factors import EXPORTS, Row, external_keys

# The report's test accuracies (sections 1.12 and 2.6). Its pretrained models were tested on other images (976) than its
# CNN (951), so these values are shown beside ours, but differences are not computed.
REPORTED = {"cnn": 0.6183, "irv2": 0.8637, "densenet": 0.8617}
COSTS = ("parameters", "trainable_parameters", "multiply_adds", "layers", "trained_layers", "file_mb", "latency_ms")
"""Metrics of a model that are added up for an ensemble."""
_EVALUATE_KEYS = (
    *("test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_accuracy_by", "test_groups", "test_loss"),
    *("macro_f1", "macro_f1_low", "macro_f1_high", "macro_f1_by", "ece", "ece_calibrated"),
    *COSTS,
    *EXPORTS,
)
_ENDS = ("", "_low", "_high")  # of the keys of a metric and its interval


def build_rows(
    evaluated: Mapping[str, Any],
    trainings: Mapping[str, Row],
    seconds: Mapping[str, float],
    predicted: pd.DataFrame,
    origin: str,
    *,
    external_sets: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """The row of each model.

    Args:
        evaluated: metrics/evaluate.json merged with metrics/cost.json, by model.
        trainings: `backbone` and `weights`, by model.
        seconds: of the training including the embedding, by model.
        predicted: the predictions table.
        origin: of the data set, from metrics/fetch.json. The report's accuracies are added only for "realwaste".
        external_sets: `sets` of metrics/external.json.
    """
    rows = {}
    for model, training in trainings.items():
        model_rows = predicted[predicted["model"] == model]
        rows[model] = {
            "backbone": training["backbone"],
            "weights": training["weights"],
            **{key: evaluated[model][key] for key in _EVALUATE_KEYS if key in evaluated[model]},
            **_fit_metrics(model_rows, evaluated[model]),
            "training_seconds": seconds[model],
            **dict(_curve_metrics(evaluated[model].get("learning_curve", {}))),
            **dict(_generalization_metrics(model, evaluated[model], external_sets or {})),
        }
        if origin == "realwaste" and model in REPORTED:
            rows[model]["reported_test_accuracy"] = REPORTED[model]
    return rows


def _fit_metrics(model_rows: pd.DataFrame, evaluated: Row) -> dict[str, float]:
    """Accuracy on training and validation images, and their gaps; the train-test gap has a MOVER interval."""
    train_rows, val_rows = (model_rows[model_rows["split"] == part] for part in ("train", "val"))
    train_metrics = intervals.accuracy_with_intervals(
        *_labels_and_probabilities(train_rows), train_rows["group"].to_numpy()
    )
    train, val = train_metrics["accuracy"], scores.accuracy(*_labels_and_probabilities(val_rows))
    test_metrics = {f"accuracy{end}": evaluated[f"test_accuracy{end}"] for end in _ENDS}
    gap = intervals.accuracy_change(test_metrics | {"images": 1}, train_metrics | {"images": 1})
    return {
        "train_accuracy": train,
        "val_accuracy": val,
        "train_val_gap": train - val,
        **{f"train_test_gap{end}": gap[f"difference{end}"] for end in _ENDS},
    }


def _labels_and_probabilities(rows: pd.DataFrame) -> tuple[Labels, Probabilities]:
    return prediction_table.labels_of(rows), prediction_table.probabilities_of(rows)


def _curve_metrics(curve: Row) -> Iterator[tuple[str, float]]:
    """For each point of the learning curve: images_at_10, accuracy_at_10 and its interval."""
    for name, point in curve.items():
        if name.startswith("at_"):
            yield f"images_{name}", point["images"]
            for end in _ENDS:
                yield f"accuracy_{name}{end}", point[f"accuracy{end}"]


def _generalization_metrics(
    model: str, evaluated: Row, external_sets: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    if cross_validation := evaluated.get("other_splits"):
        yield "other_splits_accuracy", cross_validation["accuracy_mean"]
        yield "other_splits_accuracy_std", cross_validation["accuracy_std"]
    keys = external_keys(external_sets)
    for name, external_set in external_sets.items():
        results, key = external_set["models"].get(model), keys[name]
        if results and results["outside"]["images"]:
            for end in _ENDS:
                yield f"{key}_accuracy{end}", results["outside"][f"accuracy{end}"]
