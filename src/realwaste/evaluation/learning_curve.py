"""How a test accuracy grows with the images that were learned from (report, Table 1: data dependency).

Each part of the training images is a part of the next larger one, and has the classes in the same proportions. A
network makes the same number of steps on each: of a tenth of the images it sees every one ten times as often. So the
curve tells of the images, and not of a training that was cut short.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.evaluation import cluster_bootstrap
from realwaste.evaluation.cluster_bootstrap import Groups

Rows = NDArray[np.int64]
TrainAndTest = Callable[[Rows, int], NDArray[np.bool_]]
_RESAMPLES = 4000


def measure_learning_curve(
    answer: TrainAndTest,
    labels: NDArray[np.int64],
    groups: Groups,
    percents: Sequence[float],
    *,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    """For each percentage (at_10 …) the number of images, and the test accuracy, its deviation and 95 % interval.

    Args:
        answer: learns from rows of the training images, as many as there are rows of them in all, with a seed; whether
            it is right about each test image.
        labels: (n,), class numbers of the training images.
        groups: of the test images, as of clusters.accuracy_interval.
        percents: of the training images, rising.
        repeats: trainings for each, from other subsets and seeds.
    """
    drawn = [nested_subsets(labels, percents, seed + repeat) for repeat in range(repeats)]
    found: dict[str, Any] = {"repeats": repeats}
    for place, percent in enumerate(percents):
        rows = [np.resize(own[place], len(labels)) for own in drawn]
        right = np.stack([answer(own, seed + repeat) for repeat, own in enumerate(rows)])
        low, high = accuracy_interval(right, groups)
        own = right.mean(axis=1)
        found[f"at_{percent:g}".replace(".", "_")] = {
            "images": len(drawn[0][place]),
            "accuracy": float(own.mean()),
            "accuracy_std": float(own.std(ddof=1)) if repeats > 1 else 0.0,
            "accuracy_low": min(low, float(own.mean())),
            "accuracy_high": max(high, float(own.mean())),
        }
    return found


def nested_subsets(labels: NDArray[np.int64], percents: Sequence[float], seed: int) -> list[Rows]:
    """Rows for each percentage, each in the next larger one; of every class its share, and one image at least."""
    chance = np.random.default_rng(seed)
    shuffled = [chance.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return [
        np.sort(np.concatenate([own[: max(1, round(percent * len(own) / 100))] for own in shuffled]))
        for percent in percents
    ]


def accuracy_interval(right: NDArray[np.bool_], groups: Groups) -> tuple[float, float]:
    """The 95 % interval of the mean accuracy of repeated trainings on the same test images.

    Trainings and groups of images are both drawn anew (the pigeonhole bootstrap, Owen and Eckles, 2012). Where all
    answers are right, or all are wrong, as clusters.accuracy_interval.

    Args:
        right: (repeats, n), whether each training was right about each image; groups: (n,).
    """
    if right.all() or not right.any():
        return cluster_bootstrap.accuracy_interval(right[0], groups)
    number = np.unique(groups, return_inverse=True)[1]
    count = int(number.max()) + 1
    if count == 1:
        return 0.0, 1.0
    sums = np.stack([np.bincount(number, own, minlength=count) for own in right])
    chance = np.random.default_rng(0)
    trainings = chance.multinomial(len(right), np.full(len(right), 1 / len(right)), _RESAMPLES)
    units = chance.multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    totals = np.einsum("br,rg,bg->b", trainings, sums, units, optimize=True)
    low, high = np.quantile(totals / (len(right) * (units @ np.bincount(number))), [0.025, 0.975])
    return float(low), float(high)


def curve_table(curves: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """model, percent, images, accuracy, accuracy_std, accuracy_low, accuracy_high, for charts.

    Args:
        curves: what `measure_learning_curve` gave, a model.
    """
    rows = [
        {"model": model, "percent": float(name.removeprefix("at_").replace("_", "."))} | own
        for model, curve in curves.items()
        for name, own in curve.items()
        if name.startswith("at_")
    ]
    columns = ["model", "percent", "images", "accuracy", "accuracy_std", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(rows, columns=columns)
