"""Learning curves: test accuracy against the number of training images (report, Table 1: data dependency).

The subsets of the training images are nested and stratified by class. Training takes the same number of steps on each
subset: each image of a 10 % subset is used ten times as often. So the curve shows the effect of the number of images,
not of a shorter training.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from realwaste.core.log import console, is_quiet
from realwaste.dataset.labels import labels_of
from realwaste.evaluation import cluster_bootstrap
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.models.probabilities import Probabilities, fill_undefined

Rows = NDArray[np.int64]
TrainAndTest = Callable[[Rows, int], NDArray[np.bool_]]
_RESAMPLES = 4000


def measure_learning_curve(
    train_and_test: TrainAndTest,
    labels: NDArray[np.int64],
    groups: Groups,
    percents: Sequence[float],
    *,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    """For each percentage (at_10 …): images, and the test accuracy with its standard deviation and 95 % interval.

    Args:
        train_and_test: trains on n rows (repeated indices) of the training images with a seed; returns whether the
            trained model is correct on each test image.
        labels: (n,), class indices of the training images.
        groups: the near-duplicate group of each test image.
        percents: of the training images, ascending.
        repeats: trainings per percentage, each with another subset and seed.
    """
    subsets_by_repeat = [nested_subsets(labels, percents, seed + repeat) for repeat in range(repeats)]
    curve: dict[str, Any] = {"repeats": repeats}
    for index, percent in enumerate(track(percents, "learning curve", console=console, disable=is_quiet())):
        training_rows = [np.resize(subset[index], len(labels)) for subset in subsets_by_repeat]
        correct = np.stack([train_and_test(subset, seed + repeat) for repeat, subset in enumerate(training_rows)])
        accuracies, (low, high) = correct.mean(axis=1), accuracy_interval(correct, groups)
        accuracy = float(accuracies.mean())
        curve[f"at_{percent:g}".replace(".", "_")] = {
            "images": len(subsets_by_repeat[0][index]),
            "accuracy": accuracy,
            "accuracy_std": float(accuracies.std(ddof=1)) if repeats > 1 else 0.0,
            "accuracy_low": min(low, accuracy),
            "accuracy_high": max(high, accuracy),
        }
    return curve


def nested_subsets(labels: NDArray[np.int64], percents: Sequence[float], seed: int) -> list[Rows]:
    """Nested, stratified row indices for each percentage; each class has at least one image."""
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    subsets = ([rows[: max(1, round(percent * len(rows) / 100))] for rows in shuffled] for percent in percents)
    return [np.sort(np.concatenate(rows_by_class)) for rows_by_class in subsets]


def is_correct(probabilities: Probabilities, splits: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each prediction for the test images of `splits` is correct; NaN counts as 1 / classes."""
    defined, _ = fill_undefined(probabilities)
    return np.asarray(defined.argmax(axis=1) == labels_of(splits, "test"))


def accuracy_interval(correct: NDArray[np.bool_], groups: Groups) -> tuple[float, float]:
    """The 95 % interval of the mean accuracy of repeated trainings on the same test images.

    Both trainings and near-duplicate groups (single images if there are too few groups) are resampled: pigeonhole
    bootstrap, Owen and Eckles (2012). If all predictions are correct, or all are wrong, it is
    cluster_bootstrap.accuracy_interval.

    Args:
        correct: (repeats, n), whether each trained model is correct on each test image.
        groups: (n,), the near-duplicate group of each test image.
    """
    if not cluster_bootstrap.are_enough(groups):
        groups = np.arange(len(groups))
    if correct.all() or not correct.any():
        return cluster_bootstrap.accuracy_interval(correct[0], groups)
    group_index = np.unique(groups, return_inverse=True)[1]
    count = int(group_index.max()) + 1
    sums = np.stack([np.bincount(group_index, correct_row, minlength=count) for correct_row in correct])
    rng = np.random.default_rng(0)
    training_counts = rng.multinomial(len(correct), np.full(len(correct), 1 / len(correct)), _RESAMPLES)
    group_counts = rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    totals = np.einsum("br,rg,bg->b", training_counts, sums, group_counts, optimize=True)
    low, high = np.quantile(totals / (len(correct) * (group_counts @ np.bincount(group_index))), [0.025, 0.975])
    return float(low), float(high)


def curve_table(curves: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The curves of `measure_learning_curve`, by model, as a table for charts; without curves it has no rows."""
    rows = [
        {"model": model, "percent": float(name.removeprefix("at_").replace("_", "."))} | point
        for model, curve in curves.items()
        for name, point in curve.items()
        if name.startswith("at_")
    ]
    columns = ["model", "percent", "images", "accuracy", "accuracy_std", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(rows, columns=columns)
