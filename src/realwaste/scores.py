"""What a model's probabilities are worth: accuracy, loss and how sure they are (report, sections 1.12 and 2.5)."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

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
    # scipy.stats has this and the test below, and takes a second to import: compare needs no more than these two.
    count, share, z = len(labels), accuracy(labels, probabilities), float(ndtri(0.975))
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)


def macro_f1(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean F1 of the classes of confusion matrices (…, actual, predicted); 0 for a class neither there nor named."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    named = confusion.sum(axis=-2) + confusion.sum(axis=-1)
    return np.asarray((2 * right / np.maximum(named, 1)).mean(axis=-1))


def macro_f1_interval(
    labels: Labels, probabilities: Probabilities, *, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval (Efron 1979) of the macro F1, test images drawn with replacement."""
    classes = probabilities.shape[1]
    cells = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes * classes)
    # Images in the same cell are alike to the F1: drawing images is drawing cells.
    drawn = np.random.default_rng(seed).multinomial(len(labels), cells / len(labels), resamples)
    low, high = np.quantile(macro_f1(drawn.reshape(-1, classes, classes)), (0.025, 0.975))
    return float(low), float(high)


def difference_interval(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same images (Bonett and Price 2012)."""
    count = len(first_right) + 2
    first, second = (
        (int((one & ~other).sum()) + 1) / count
        for one, other in ((first_right, second_right), (second_right, first_right))
    )
    reach = float(ndtri(0.975)) * math.sqrt((first + second - (first - second) ** 2) / count)
    return max(-1.0, first - second - reach), min(1.0, first - second + reach)


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value (McNemar 1947) that two models answering the same images err equally often."""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    # Twice the smaller tail of a fair coin; with equal counts the two tails overlap.
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))
