"""What a model's probabilities are worth: pure NumPy, pandas and scikit-learn (report, sections 1.12 and 2.5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import classification_report

Probabilities = NDArray[np.floating]
Labels = NDArray[np.integer]


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean sparse categorical crossentropy, probabilities clipped at 1e-7 as Keras clips them."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, 1e-7, 1 - 1e-7)).mean())


def accuracy_interval(labels: Labels, probabilities: Probabilities) -> tuple[float, float]:
    """The 95 % interval of the accuracy (Wilson 1927)."""
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    interval = binomtest(correct, len(labels)).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def report(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, dict[str, float]]:
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


def summary(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """The test figures of one model, for metrics/evaluate.json."""
    per_class = report(labels, probabilities, classes)
    low, high = accuracy_interval(labels, probabilities)
    return {
        "test_accuracy": accuracy(labels, probabilities),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_loss": log_loss(labels, probabilities),
        "macro_f1": float(np.mean([scores["f1"] for scores in per_class.values()])),
        "per_class": per_class,
    }


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value (McNemar 1947) that two models answering the same images err equally often."""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)
