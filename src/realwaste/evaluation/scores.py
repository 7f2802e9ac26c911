"""Accuracy, macro F1, their intervals, and exact tests, with single images as the units (report, 1.12 and 2.5)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from realwaste.evaluation import resampled_f1
from realwaste.models.probabilities import Labels, Probabilities


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """The share of images whose most probable class is their label."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def accuracy_interval(labels: Labels, probabilities: Probabilities) -> tuple[float, float]:
    """The 95 % interval of the accuracy, with single images as the units."""
    return wilson_interval(accuracy(labels, probabilities), len(labels))


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` cases (Wilson 1927)."""
    # scipy.stats has this and McNemar's test, but takes a second to import.
    z = float(ndtri(0.975))
    center = share + z * z / (2 * count)
    half_width = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # min and max with the share: by rounding, the end at 0 or 1 may exclude it.
    return min(share, max(0.0, (center - half_width) / scale)), max(share, min(1.0, (center + half_width) / scale))


def macro_f1(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Mean F1 over the classes of confusion matrices (…, actual, predicted); 0 for a class in no row or column."""
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    actual_and_predicted = confusion.sum(axis=-2) + confusion.sum(axis=-1)
    return np.asarray((2 * correct / np.maximum(actual_and_predicted, 1)).mean(axis=-1))


def confusion_matrix(labels: Labels, probabilities: Probabilities) -> NDArray[np.integer]:
    """The number of images of each actual class (rows) that are predicted as each class (columns)."""
    classes = probabilities.shape[1]
    cells = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes * classes)
    return cells.reshape(classes, classes)


def macro_f1_interval(labels: Labels, probabilities: Probabilities, *, resamples: int = 10_000) -> tuple[float, float]:
    """The 95 % interval of the macro F1 by a bootstrap over single images.

    If all predictions are correct, or all are wrong, no resample differs, and the accuracy's interval is used instead.
    """
    if accuracy(labels, probabilities) in {0.0, 1.0}:
        return widen_to_macro_f1(accuracy_interval(labels, probabilities), labels, probabilities)
    image_index = np.arange(len(labels))
    return resampled_f1.macro_f1_interval(labels, probabilities, image_index, expanded=False, resamples=resamples)


def widen_to_macro_f1(
    interval: tuple[float, float], labels: Labels, probabilities: Probabilities
) -> tuple[float, float]:
    """The interval, widened if it does not contain the macro F1."""
    estimate = float(macro_f1(confusion_matrix(labels, probabilities)))
    return min(interval[0], estimate), max(interval[1], estimate)


def difference_interval(first_correct: NDArray[np.bool_], second_correct: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same images (Bonett and Price 2012)."""
    count = len(first_correct) + 2
    first, second = (
        (int((correct & ~other_correct).sum()) + 1) / count
        for correct, other_correct in ((first_correct, second_correct), (second_correct, first_correct))
    )
    half_width = float(ndtri(0.975)) * math.sqrt((first + second - (first - second) ** 2) / count)
    return max(-1.0, first - second - half_width), min(1.0, first - second + half_width)


def mcnemar_test(first_correct: NDArray[np.bool_], second_correct: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value of McNemar's test (1947) that two models have equal accuracy on the same images."""
    only_first = int((first_correct & ~second_correct).sum())
    only_second = int((second_correct & ~first_correct).sum())
    # Twice the smaller tail of a fair coin; with equal counts the two tails overlap.
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for multiple tests (Holm 1979), in their original order.

    If adjusted values below 0.05 count as significant, the probability of any false positive is at most 5 %, however
    the tests depend on each other.
    """
    # scipy has only Benjamini and Hochberg's method, which allows more false positives. statsmodels has Holm's, but
    # would be a dependency for this alone.
    raw = np.asarray(p_values, np.float64)
    order = np.argsort(raw)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return [float(value) for value in adjusted]
