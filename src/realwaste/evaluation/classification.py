"""The test figures of one model: the report's classification report and what stands above it (section 1.12)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import classification_report

from realwaste.evaluation import intervals
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.evaluation.scores import accuracy
from realwaste.models.probabilities import Labels, Probabilities, log_loss


def score_classes(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, f1 and support a class; a class never predicted has precision 0."""
    found = classification_report(
        labels,
        probabilities.argmax(axis=1),
        labels=range(len(classes)),
        target_names=list(classes),
        output_dict=True,
        zero_division=0,
    )
    return {
        name: {
            "precision": float(found[name]["precision"]),
            "recall": float(found[name]["recall"]),
            "f1": float(found[name]["f1-score"]),
            "support": int(found[name]["support"]),
        }
        for name in classes
    }


def summarize_repeats(labels: Labels, answers: Sequence[Probabilities], diverged: int = 0) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of the test figures of repeated trainings; nothing of none.

    Args:
        answers: numbers, as predictions.defined gives them; `diverged` of them were none before.
    """
    if not answers:
        return {}
    measured = {
        "test_accuracy": [accuracy(labels, one) for one in answers],
        "test_loss": [log_loss(labels, one) for one in answers],
    }
    spread = {
        f"{key}_{name}": float(value)
        for key, values in measured.items()
        for name, value in (("mean", np.mean(values)), ("std", np.std(values, ddof=1) if len(values) > 1 else 0.0))
    }
    return {"repeats": {"runs": len(answers), "diverged": diverged} | spread}


def compute_test_metrics(
    labels: Labels, probabilities: Probabilities, classes: Sequence[str], groups: Groups
) -> dict[str, Any]:
    """The test figures of one model, for metrics/evaluate.json.

    Args:
        groups: (n,), a number that photographs of one object share.
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
