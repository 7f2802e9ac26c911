"""The models side by side: their names, their soft vote, and what their differences are worth."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from realwaste.dataset.labels import PARTS
from realwaste.evaluation import calibration, differences, intervals, prediction_table, scores
from realwaste.models.probabilities import apply_temperature, log_loss
from realwaste.report.figures import MOST_CLASSES

ENSEMBLE = "ensemble"


def ensemble_predictions(predicted: pd.DataFrame, temperatures: Mapping[str, float]) -> pd.DataFrame:
    """The models' soft vote, as rows of the predictions table: the mean of their calibrated probabilities.

    Args:
        temperatures: a model; uncalibrated, the surest model would outvote the others.
    """
    models = predicted.groupby("model", sort=False)
    first = predicted[predicted["model"] == predicted["model"].iloc[0]]
    votes = [
        apply_temperature(prediction_table.probabilities_of(own), temperatures[str(model)])
        for model, own in models
    ]
    columns = [prediction_table.PROBABILITY_PREFIX + name for name in prediction_table.classes_of(predicted)]
    table = first.assign(model=ENSEMBLE)
    table[columns] = sum(votes) / len(votes)
    return table


def ensemble_metrics(votes: pd.DataFrame, members: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What table1.build_rows asks of a model; it costs what its members cost together.

    Args:
        votes: the rows of `ensemble_predictions`; members: what table1.build_rows takes as `evaluated`, of the models that vote.
    """
    tested = votes[votes["split"] == "test"]
    labels, probabilities = prediction_table.labels_of(tested), prediction_table.probabilities_of(tested)
    error = calibration.expected_calibration_error(labels, probabilities)
    macro_f1 = float(scores.macro_f1(scores.confusion_matrix(labels, probabilities)))
    costs = ("parameters", "trainable_parameters", "multiply_adds", "layers", "trained_layers", "file_mb", "latency_ms")
    first = next(iter(members.values()))
    return {
        "test_accuracy": scores.accuracy(labels, probabilities),
        "test_loss": log_loss(labels, probabilities),
        "macro_f1": macro_f1,
        **intervals.test_metric_intervals(labels, probabilities, tested["group"].to_numpy(), macro_f1),
        "ece": error,
        "ece_calibrated": error,
        **{key: round(sum(member[key] for member in members.values()), 2) for key in costs if key in first},
    }


def compare_pairs(predicted: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """For each two models, on the same test images: the difference in accuracy and whether it shows a better one.

    A verdict goes by `p_holm`: of many pairs tested at 0.05 each, some would show a better model by chance.
    """
    tested = predicted[predicted["split"] == "test"].sort_values("path", kind="stable")
    groups = tested.drop_duplicates("path")["group"].to_numpy()
    right = {
        str(model): (own["label"] == prediction_table.predicted_classes(own)).to_numpy()
        for model, own in tested.groupby("model", sort=False)
    }
    both = {f"{first}_vs_{second}": (right[first], right[second]) for first, second in combinations(right, 2)}
    compared = differences.compare_accuracies(both, groups)
    for pair, facts in compared.items():
        first, second = pair.split("_vs_")
        facts["verdict"] = differences.describe_verdict(differences.find_better(facts, first, second))
    return compared


def describe_correction(pairs: Mapping[str, Any]) -> str:
    """How the verdicts of `compare_pairs` allow for the number of tests, in words that follow "after"."""
    return f"Holm's correction for {len(pairs)} {'test' if len(pairs) == 1 else 'tests'}"


def display_names(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
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


def single_line_names(named: Mapping[str, str]) -> dict[str, str]:
    """The same names for titles and logs."""
    return {model: name.replace("\n", ", ") for model, name in named.items()}


def accuracy_by_part(rows: Mapping[str, Mapping[str, Any]], named: Mapping[str, str]) -> pd.DataFrame:
    """model, part and accuracy, for the chart that `dvc plots` draws."""
    return pd.DataFrame(
        [
            {"model": single_line_names(named)[model], "part": part, "accuracy": row[f"{part}_accuracy"]}
            for model, row in rows.items()
            for part in PARTS
        ]
    )


def class_score_table(evaluated: Mapping[str, Any]) -> pd.DataFrame:
    """model, label, precision, recall, f1, support; of more than MOST_CLASSES those of the lowest mean F1."""
    scores = pd.DataFrame(
        [
            {"model": model, "label": label} | measured
            for model, facts in evaluated.items()
            for label, measured in facts["per_class"].items()
        ]
    )
    lowest = scores.groupby("label", sort=False)["f1"].mean().sort_values(kind="stable").index[:MOST_CLASSES]
    return scores[scores["label"].isin(lowest)].reset_index(drop=True)


def hardest_classes(counts: pd.DataFrame) -> pd.DataFrame:
    """The confusions among the classes of the lowest recall, where there are more than MOST_CLASSES.

    Args:
        counts: actual, predicted, images: every pair of classes, of one model.
    """
    right = counts[counts["actual"] == counts["predicted"]].set_index("actual")["images"]
    recall = right / counts.groupby("actual", sort=False)["images"].sum().clip(lower=1)
    lowest = recall.sort_values(kind="stable").index[:MOST_CLASSES]
    return counts[counts["actual"].isin(lowest) & counts["predicted"].isin(lowest)]


def class_limit_note(classes: int) -> str:
    """What a chart of class_scores or hardest_classes says after its title; empty where it shows all classes."""
    return f", the {MOST_CLASSES} worst of {classes} classes" if classes > MOST_CLASSES else ""


def _weights_named(weights: str) -> str:
    known = {"imagenet": "ImageNet weights", "random": "RANDOM weights"}
    return known.get(weights, "its own weights" if weights.endswith(".keras") else "weights of a file")
