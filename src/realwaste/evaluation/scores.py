"""What a model's probabilities are worth: accuracy, loss and how sure they are (report, sections 1.12 and 2.5)."""

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
    """The 95 % interval of the accuracy, every image for itself."""
    return wilson_interval(accuracy(labels, probabilities), len(labels))


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted in `count` cases (Wilson 1927)."""
    # scipy.stats has this and the test below, and takes a second to import: compare needs no more than these two.
    z = float(ndtri(0.975))
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    # The share too: rounded, the end at 0 or 1 may lie beside it.
    return min(share, max(0.0, (middle - reach) / whole)), max(share, min(1.0, (middle + reach) / whole))


def macro_f1(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Mean F1 of the classes of confusion matrices (…, actual, predicted); 0 for a class neither there nor named."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    named = confusion.sum(axis=-2) + confusion.sum(axis=-1)
    return np.asarray((2 * right / np.maximum(named, 1)).mean(axis=-1))


def confusion_matrix(labels: Labels, probabilities: Probabilities) -> NDArray[np.integer]:
    """How many images of each actual class were taken for each class (classes, classes)."""
    classes = probabilities.shape[1]
    cells = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes * classes)
    return cells.reshape(classes, classes)


def macro_f1_interval(labels: Labels, probabilities: Probabilities, *, resamples: int = 10_000) -> tuple[float, float]:
    """The 95 % interval of the macro F1 by a bootstrap, every image for itself.

    Where all answers are right, or all are wrong, every resample is as the test was: the accuracy's interval stands in.
    """
    if accuracy(labels, probabilities) in {0.0, 1.0}:
        low, high = accuracy_interval(labels, probabilities)
        measured = float(macro_f1(confusion_matrix(labels, probabilities)))
        return min(low, measured), max(high, measured)
    answers, images = probabilities.argmax(axis=1), np.arange(len(labels))
    return resampled_f1.macro_f1_interval(
        labels, answers, images, probabilities.shape[1], expanded=False, resamples=resamples
    )


def difference_interval(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same images (Bonett and Price 2012)."""
    count = len(first_right) + 2
    first, second = (
        (int((one & ~other).sum()) + 1) / count
        for one, other in ((first_right, second_right), (second_right, first_right))
    )
    reach = float(ndtri(0.975)) * math.sqrt((first + second - (first - second) ** 2) / count)
    return max(-1.0, first - second - reach), min(1.0, first - second + reach)


def mcnemar_test(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value (McNemar 1947) that two models answering the same images err equally often."""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    # Twice the smaller tail of a fair coin; with equal counts the two tails overlap.
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """The p-values of tests that are made together, adjusted (Holm 1979), in their order.

    If those below 0.05 count as shown, the chance of one false alarm or more among all is at most 5 %, however the
    tests depend on each other.
    """
    # By hand: scipy has Benjamini and Hochberg's method alone, which lets through more false alarms; statsmodels has
    # this one, and would be installed for it alone.
    raw = np.asarray(p_values, np.float64)
    order = np.argsort(raw)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return [float(value) for value in adjusted]
