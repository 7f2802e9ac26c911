"""The models side by side: the report's Table 1 (section 2.7), measured, and what the differences are worth."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from realwaste.classifier import temperature_scaling
from realwaste.classifier.probabilities import log_loss
from realwaste.dataset.labels import PARTS
from realwaste.evaluation import calibration, clusters, intervals, predictions, scores

ENSEMBLE = "ensemble"
SIGNIFICANT = 0.05
# The report's test accuracies (sections 1.12 and 2.6). Its pretrained models were tested on other images (976, not
# 951) than its CNN, so they stand beside ours and are never subtracted.
REPORTED = {"cnn": 0.6183, "irv2": 0.8637, "densenet": 0.8617}


def table1(
    evaluated: Mapping[str, Any],
    trainings: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, float],
    predicted: pd.DataFrame,
    origin: str,
) -> dict[str, dict[str, Any]]:
    """The report's Table 1: the measured figures of each model.

    Args:
        evaluated: metrics/evaluate.json merged with metrics/cost.json, a model.
        trainings: with `backbone` and `weights`, a model.
        seconds: of its training, the embedding included, a model.
        predicted: the predictions table.
        origin: of the data set, as fetch found it; the report's own figures are added only on "realwaste".
    """
    rows = {}
    for model, facts in trainings.items():
        own = predicted[predicted["model"] == model]
        train, val = (_accuracy(own[own["split"] == part]) for part in ("train", "val"))
        test = evaluated[model]["test_accuracy"]
        rows[model] = {
            "backbone": facts["backbone"],
            "weights": facts["weights"],
            **{key: evaluated[model][key] for key in _FROM_EVALUATE},
            "train_accuracy": train,
            "val_accuracy": val,
            "train_test_gap": train - test,
            "training_seconds": seconds[model],
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
    "file_mb",
    "latency_ms",
)


def ensemble(predicted: pd.DataFrame, temperatures: Mapping[str, float]) -> pd.DataFrame:
    """The models' soft vote, as rows of the predictions table: the mean of their calibrated probabilities.

    Args:
        temperatures: a model; uncalibrated, the surest model would outvote the others.
    """
    models = predicted.groupby("model", sort=False)
    first = predicted[predicted["model"] == predicted["model"].iloc[0]]
    votes = [
        temperature_scaling.tempered(predictions.probabilities_of(own), temperatures[str(model)])
        for model, own in models
    ]
    columns = [predictions.PREFIX + name for name in predictions.classes_of(predicted)]
    table = first.assign(model=ENSEMBLE)
    table[columns] = sum(votes) / len(votes)
    return table


def ensemble_figures(votes: pd.DataFrame, members: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What `table1` asks of a model; it costs what its members cost together.

    Args:
        votes: the rows of `ensemble`; members: what `table1` takes as `evaluated`, of the models that vote.
    """
    tested = votes[votes["split"] == "test"]
    labels, probabilities = predictions.labels_of(tested), predictions.probabilities_of(tested)
    error = calibration.expected_error(labels, probabilities)
    costs = ("parameters", "trainable_parameters", "file_mb", "latency_ms")
    return {
        "test_accuracy": scores.accuracy(labels, probabilities),
        "test_loss": log_loss(labels, probabilities),
        "macro_f1": float(scores.macro_f1(scores.confusion(labels, probabilities))),
        **intervals.of_test(labels, probabilities, tested["group"].to_numpy()),
        "ece": error,
        "ece_calibrated": error,
        **{key: round(sum(member[key] for member in members.values()), 2) for key in costs},
    }


def pairs(predicted: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """For each two models, on the same test images: the difference in accuracy and whether it shows a better one.

    A verdict goes by `p_holm`: the larger of the p-values of two tests, of images for themselves and of groups of them
    as one; and of many pairs tested at 0.05 each, some would show a better model by chance (Holm's correction).
    """
    tested = predicted[predicted["split"] == "test"].sort_values("path", kind="stable")
    groups = tested.drop_duplicates("path")["group"].to_numpy()
    right = {
        str(model): (own["label"] == predictions.predicted(own)).to_numpy()
        for model, own in tested.groupby("model", sort=False)
    }
    both = list(combinations(right, 2))
    compared = {}
    p_values = [
        {
            "mcnemar_p": scores.mcnemar(right[first], right[second]),
            "permutation_p": clusters.permutation_test(right[first], right[second], groups),
        }
        for first, second in both
    ]
    leading = scores.holm([max(found.values()) for found in p_values])
    for (first, second), found, adjusted in zip(both, p_values, leading, strict=True):
        by_images = scores.difference_interval(right[first], right[second])
        by_groups = clusters.difference_interval(right[first], right[second], groups)
        ahead = first if right[first].mean() > right[second].mean() else second
        compared[f"{first}_vs_{second}"] = {
            "difference": float(right[first].mean() - right[second].mean()),
            **intervals.both("difference", by_images, by_groups),
            **found,
            "p_holm": adjusted,
            "verdict": f"{ahead} is better" if adjusted < SIGNIFICANT else "no difference shown",
        }
    return compared


def correction(pairs: Mapping[str, Any]) -> str:
    """How the verdicts of `pairs` allow for the number of tests, in words that follow "after"."""
    return f"Holm's correction for {len(pairs)} {'test' if len(pairs) == 1 else 'tests'}"


def _accuracy(own: pd.DataFrame) -> float:
    return scores.accuracy(predictions.labels_of(own), predictions.probabilities_of(own))


def names(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What a picture calls a model; weights other than ImageNet's are never left unsaid."""
    named = {
        model: row["backbone"]
        if model in {"cnn", ENSEMBLE}
        else f"{row['backbone'].removesuffix('.keras')}\n{_weights_named(row['weights'])}"
        for model, row in rows.items()
    }
    if len(set(named.values())) < len(named):
        return {model: f"{model}: {name}" for model, name in named.items()}
    return named


def one_line(named: Mapping[str, str]) -> dict[str, str]:
    """The same names for titles and logs."""
    return {model: name.replace("\n", ", ") for model, name in named.items()}


def accuracies(rows: Mapping[str, Mapping[str, Any]], named: Mapping[str, str]) -> pd.DataFrame:
    """model, part and accuracy, for the chart that `dvc plots` draws."""
    return pd.DataFrame(
        [
            {"model": one_line(named)[model], "part": part, "accuracy": row[f"{part}_accuracy"]}
            for model, row in rows.items()
            for part in PARTS
        ]
    )


def class_scores(evaluated: Mapping[str, Any]) -> pd.DataFrame:
    """model, label, precision, recall, f1, support."""
    return pd.DataFrame(
        [
            {"model": model, "label": label} | measured
            for model, facts in evaluated.items()
            for label, measured in facts["per_class"].items()
        ]
    )


def readable(rows: Mapping[str, Mapping[str, Any]], named: Mapping[str, str]) -> pd.DataFrame:
    """Table 1 as people read it: a row a factor, a column a model, all text."""
    factors: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "Test accuracy": lambda row: f"{row['test_accuracy']:.3f}",
        "95 % interval": lambda row: f"{row['test_accuracy_low']:.3f} to {row['test_accuracy_high']:.3f}",
        "Test loss": lambda row: f"{row['test_loss']:.3f}",
        "Macro F1": lambda row: f"{row['macro_f1']:.3f}",
        "its 95 % interval": lambda row: f"{row['macro_f1_low']:.3f} to {row['macro_f1_high']:.3f}",
        "Calibration error": lambda row: (
            f"{row['ece']:.3f}" + (f", then {row['ece_calibrated']:.3f}" if row["ece_calibrated"] != row["ece"] else "")
        ),
        "Train accuracy": lambda row: f"{row['train_accuracy']:.3f}",
        "Train-test gap": lambda row: f"{row['train_test_gap']:+.3f}",
        "Training time": lambda row: f"{row['training_seconds']:.0f} s",
        "Parameters": lambda row: f"{row['parameters'] / 1e6:.2f} M",
        "of them trained": lambda row: f"{row['trainable_parameters'] / 1e6:.2f} M",
        "File size": lambda row: f"{row['file_mb']:.1f} MB",
        "One image": lambda row: f"{row['latency_ms']:.0f} ms",
        "Weights": lambda row: str(row["weights"]),
    }
    if any("reported_test_accuracy" in row for row in rows.values()):
        factors["The report's accuracy"] = lambda row: (
            f"{row['reported_test_accuracy']:.3f}" if "reported_test_accuracy" in row else "–"
        )
    cells = {named[model]: [show(row) for show in factors.values()] for model, row in rows.items()}
    return pd.DataFrame(cells, index=list(factors))


def _weights_named(weights: str) -> str:
    known = {"imagenet": "ImageNet weights", "random": "RANDOM weights"}
    return known.get(weights, "its own weights" if weights.endswith(".keras") else "weights of a file")
