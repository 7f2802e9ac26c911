"""Test metrics of one model: accuracy, loss, macro F1 and the report's classification report (section 1.12)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from realwaste.evaluation import intervals
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.evaluation.scores import accuracy, confusion_matrix
from realwaste.models.probabilities import Labels, Probabilities, fill_undefined, log_loss


def score_classes(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, f1 and support of each class; a class that is never predicted has precision 0."""
    # Not by scikit-learn: `realwaste evaluate` would need it for this alone.
    counts = confusion_matrix(labels, probabilities)
    correct, predicted, support = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    return {
        name: {
            "precision": float(correct[index] / max(predicted[index], 1)),
            "recall": float(correct[index] / max(support[index], 1)),
            "f1": float(2 * correct[index] / max(predicted[index] + support[index], 1)),
            "support": int(support[index]),
        }
        for index, name in enumerate(classes)
    }


def summarize_repeats(labels: Labels, predictions: Sequence[Probabilities]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of the test metrics of repeated trainings; empty without repeats.

    Of each repeat's probabilities (n, classes), rows with NaN count as 1 / classes; `diverged` counts these repeats.
    """
    if not predictions:
        return {}
    defined = [fill_undefined(probabilities) for probabilities in predictions]
    repeats: dict[str, Any] = {"runs": len(defined), "diverged": sum(undefined > 0 for _, undefined in defined)}
    for name, metric in (("test_accuracy", accuracy), ("test_loss", log_loss)):
        values = [metric(labels, probabilities) for probabilities, _ in defined]
        repeats[f"{name}_mean"] = float(np.mean(values))
        repeats[f"{name}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"repeats": repeats}


def compute_test_metrics(
    labels: Labels, probabilities: Probabilities, classes: Sequence[str], groups: Groups
) -> dict[str, Any]:
    """The test metrics of one model, for metrics/evaluate.json; groups (n,) are the near-duplicate groups."""
    accuracies = intervals.accuracy_with_intervals(labels, probabilities, groups, "test_accuracy")
    macro_f1 = intervals.macro_f1_with_intervals(labels, probabilities, groups)
    return {
        "test_accuracy": accuracies["test_accuracy"],
        "test_loss": log_loss(labels, probabilities),
        "macro_f1": macro_f1["macro_f1"],
        "test_groups": len(np.unique(groups)),
        **accuracies,
        **macro_f1,
        "per_class": score_classes(labels, probabilities, classes),
    }
