"""Test metrics of one model: accuracy, loss, macro F1 and the report's classification report (section 1.12)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from realwaste.evaluation import intervals
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.evaluation.scores import accuracy, confusion_matrix
from realwaste.models.probabilities import Labels, Probabilities, log_loss


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


def summarize_repeats(labels: Labels, predictions: Sequence[Probabilities], diverged: int = 0) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of the test metrics of repeated trainings; empty without repeats.

    Args:
        predictions: (n, classes) for each repeat, without NaN (see models.probabilities.fill_undefined).
        diverged: how many of the repeats had NaN before.
    """
    if not predictions:
        return {}
    values_by_metric = {
        "test_accuracy": [accuracy(labels, probabilities) for probabilities in predictions],
        "test_loss": [log_loss(labels, probabilities) for probabilities in predictions],
    }
    spread = {
        f"{key}_{name}": float(value)
        for key, values in values_by_metric.items()
        for name, value in (("mean", np.mean(values)), ("std", np.std(values, ddof=1) if len(values) > 1 else 0.0))
    }
    return {"repeats": {"runs": len(predictions), "diverged": diverged} | spread}


def compute_test_metrics(
    labels: Labels, probabilities: Probabilities, classes: Sequence[str], groups: Groups
) -> dict[str, Any]:
    """The test metrics of one model, for metrics/evaluate.json.

    Args:
        groups: (n,), the near-duplicate group of each image.
    """
    per_class = score_classes(labels, probabilities, classes)
    macro_f1 = float(np.mean([scores["f1"] for scores in per_class.values()]))
    return {
        "test_accuracy": accuracy(labels, probabilities),
        "test_loss": log_loss(labels, probabilities),
        "macro_f1": macro_f1,
        **intervals.test_metric_intervals(labels, probabilities, groups, macro_f1),
        "per_class": per_class,
    }
