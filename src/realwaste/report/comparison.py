"""Compares the models of one run: display names, the soft-voting ensemble, and paired tests."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from realwaste.dataset.labels import PARTS
from realwaste.evaluation import calibration, classification, differences, prediction_table
from realwaste.models import registry
from realwaste.report.figures import MODEL_COLORS, MOST_CLASSES
from realwaste.report.table1 import COSTS

ENSEMBLE = "ensemble"


def ensemble_members(trainings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The models that vote: the CNN and the heads on pretrained backbones; all heads if no backbone is pretrained."""
    heads = {model: trainings[model]["weights"] for model in trainings if model in registry.BACKBONES}
    voting = registry.prefer_pretrained(heads)
    return [model for model in trainings if model in voting or model not in heads]


def ensemble_predictions(calibrated: pd.DataFrame) -> pd.DataFrame:
    """Soft voting: rows of the predictions table with the mean of the members' probabilities.

    `calibrated` has the rows of the members. Without calibration, the most confident model would dominate the mean.
    """
    votes = [prediction_table.probabilities_of(rows) for _, rows in calibrated.groupby("model", sort=False)]
    ensemble = calibrated[calibrated["model"] == calibrated["model"].iloc[0]].assign(model=ENSEMBLE)
    ensemble[prediction_table.probability_columns(calibrated)] = sum(votes) / len(votes)
    return ensemble


def ensemble_metrics(ensemble: pd.DataFrame, members: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The metrics of `ensemble_predictions`, for table1.build_rows; its cost is the sum over its members."""
    test_rows = ensemble[ensemble["split"] == "test"]
    labels, probabilities = prediction_table.labels_of(test_rows), prediction_table.probabilities_of(test_rows)
    classes, groups = prediction_table.classes_of(ensemble), test_rows["group"].to_numpy()
    metrics = classification.compute_test_metrics(labels, probabilities, classes, groups)
    # The votes are those of calibrated members.
    metrics["ece"] = metrics["ece_calibrated"] = calibration.expected_calibration_error(labels, probabilities)
    for key in COSTS:
        if key in next(iter(members.values())):
            metrics[key] = round(sum(member[key] for member in members.values()), 2)
    return metrics


def without_ensemble(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The rows of the models that have a file."""
    return {model: row for model, row in rows.items() if model != ENSEMBLE}


def summarize_run(rows: Mapping[str, Mapping[str, Any]], dataset: str, test_images: int) -> dict[str, Any]:
    """The few numbers that compare runs, for metrics/summary.json and `dvc metrics diff`.

    `rows` are those of table1.build_rows. The best model is chosen by validation.
    """
    models = without_ensemble(rows)
    best = registry.best_by_validation(models)
    keys = ("val_accuracy", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "macro_f1")
    return {
        "dataset": dataset,
        "best_model": best,
        **{f"best_{key}": rows[best][key] for key in keys},
        **{f"{model}_test_accuracy": row["test_accuracy"] for model, row in rows.items()},
        "test_images": test_images,
        "training_seconds": round(sum(row["training_seconds"] for row in models.values()), 1),
    }


def compare_pairs(predicted: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """For each pair of models on the same test images: differences.compare_accuracies and a `verdict`.

    The verdict uses `p_holm`: among many pairs tested at 0.05 each, some would differ by chance.
    """
    test_rows = predicted[predicted["split"] == "test"].sort_values("path", kind="stable")
    groups = test_rows.drop_duplicates("path")["group"].to_numpy()
    correct_by_model = {
        str(model): (rows["label"] == prediction_table.predicted_classes(rows)).to_numpy()
        for model, rows in test_rows.groupby("model", sort=False)
    }
    correct_by_pair = {
        f"{first}_vs_{second}": (correct_by_model[first], correct_by_model[second])
        for first, second in combinations(correct_by_model, 2)
    }
    comparisons = differences.compare_accuracies(correct_by_pair, groups)
    for pair, comparison in comparisons.items():
        first, second = pair.split("_vs_")
        comparison["verdict"] = differences.describe_verdict(comparison, first, second)
    return comparisons


def find_rivals(
    model: str, pairs: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """Of each pair with the model: the other model, the better one as of differences.find_better, and the record."""
    for pair, record in pairs.items():
        models = pair.split("_vs_")
        if model in models:
            (other,) = set(models) - {model}
            yield other, differences.find_better(record, *models), record


def describe_correction(pairs: Mapping[str, Any]) -> str:
    """The correction for multiple tests in `compare_pairs`, in words that follow "after"."""
    return f"Holm's correction for {len(pairs)} {'test' if len(pairs) == 1 else 'tests'}"


def short_names(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """registry.display_name of each model."""
    return {model: registry.display_name(model, row["backbone"]) for model, row in rows.items()}


def display_names(rows: Mapping[str, Mapping[str, Any]], separator: str = ", ") -> dict[str, str]:
    """The name of each model in figures: `short_names`, and after the separator the weights of its backbone."""
    return {
        model: f"{name}{separator}{_describe_weights(rows[model]['weights'])}" if model in registry.BACKBONES else name
        for model, name in short_names(rows).items()
    }


def accuracy_by_part(rows: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> pd.DataFrame:
    """model, part and accuracy, for the chart of `dvc plots`."""
    accuracies = [(names[model], part, row[f"{part}_accuracy"]) for model, row in rows.items() for part in PARTS]
    return pd.DataFrame(accuracies, columns=["model", "part", "accuracy"])


def model_scores(rows: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> pd.DataFrame:
    """model (its name), accuracy, low and high (its 95 % interval), loss, color: on the test split, for charts."""
    keys = ["test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss"]
    scores = [(names[model], *(row[key] for key in keys), MODEL_COLORS[model]) for model, row in rows.items()]
    return pd.DataFrame(scores, columns=["model", "accuracy", "low", "high", "loss", "color"])


def describe_sweep(table: pd.DataFrame, best: float) -> str:
    """The title of the learning-rate sweep, with the best rate and those that diverged."""
    diverged = ", ".join(f"{rate:g}" for rate in sorted(table.loc[table["diverged"], "learning_rate"].unique()))
    return f"Learning rates of the CNN; best: {best:g}" + (f"; diverged: {diverged}" if diverged else "")


def class_score_table(evaluated: Mapping[str, Any]) -> pd.DataFrame:
    """model, label, precision, recall, f1, support; at most MOST_CLASSES classes, those with the lowest mean F1."""
    rows = [
        {"model": model, "label": label} | class_scores
        for model, metrics in evaluated.items()
        for label, class_scores in metrics["per_class"].items()
    ]
    table = pd.DataFrame(rows)
    lowest = table.groupby("label", sort=False)["f1"].mean().sort_values(kind="stable").index[:MOST_CLASSES]
    return table[table["label"].isin(lowest)].reset_index(drop=True)


def hardest_classes(counts: pd.DataFrame) -> pd.DataFrame:
    """Of the confusions of one model (actual, predicted, images), those among the MOST_CLASSES of lowest recall."""
    correct = counts[counts["actual"] == counts["predicted"]].set_index("actual")["images"]
    recall = correct / counts.groupby("actual", sort=False)["images"].sum().clip(lower=1)
    lowest = recall.sort_values(kind="stable").index[:MOST_CLASSES]
    return counts[counts["actual"].isin(lowest) & counts["predicted"].isin(lowest)]


def class_limit_note(classes: int) -> str:
    """The end of a chart's title if it does not show all classes; else empty."""
    return f", the {MOST_CLASSES} worst of {classes} classes" if classes > MOST_CLASSES else ""


def _describe_weights(weights: str) -> str:
    descriptions = {"imagenet": "ImageNet weights", "random": "RANDOM weights"}
    return descriptions.get(weights, "its own weights" if weights.endswith(".keras") else "weights of a file")


def describe_stand_ins(embeddings: Mapping[str, Mapping[str, Any]]) -> str:
    """Which backbones have random weights; empty if all are pretrained."""
    random = [model for model, facts in embeddings.items() if facts["weights"] == registry.RANDOM]
    if not random:
        return ""
    names = ", ".join(registry.display_name(model, embeddings[model]["backbone"]) for model in random)
    rest = "" if len(random) < len(embeddings) else " No backbone is pretrained."
    return f"Stand-ins with RANDOM weights, whose scores mean nothing: {names}.{rest}"
