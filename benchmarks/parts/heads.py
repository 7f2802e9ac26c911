"""Heads of `finetune` on cached vectors, and intervals of their scores over groups of near-duplicates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realwaste.dataset.folds import Rows
from realwaste.evaluation import bootstrap, cluster_bootstrap, intervals, scores
from realwaste.models.probabilities import Probabilities
from realwaste.training.finetune import HeadTrainer, TrainVal
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule

FOLDS = 5
Interval = list[float]
"""Estimate and the ends of its 95 % interval."""


def trainer(classes: int) -> HeadTrainer:
    """Of heads with the default schedule."""
    return HeadTrainer(FinetuneRecipe(classes, HeadArchitecture(128), Schedule(10, 32, 0.001, True, 0)))


def predict_out_of_fold(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], folds: Sequence[tuple[Rows, Rows]]
) -> Probabilities:
    """Probabilities (n, classes) by heads that were trained on the other folds."""
    fit, probabilities = trainer(int(labels.max()) + 1), np.zeros((len(labels), int(labels.max()) + 1))
    for train, test in folds:
        # Validation decides nothing: the weights of the last epoch are used.
        samples = TrainVal(*(Samples(vectors[rows], labels[rows]) for rows in (train, test)))
        probabilities[test] = np.asarray(fit.fit(samples, 0, silent=True)[0](vectors[test]))
    return probabilities


def share_interval(correct: NDArray[np.bool_], groups: NDArray[np.integer]) -> Interval:
    """A share with the wider of its intervals over images and over groups."""
    share = float(correct.mean())
    by_images = scores.wilson_interval(share, len(correct))
    ends = intervals.combine_intervals(
        "share", share, by_images, cluster_bootstrap.accuracy_interval(correct, groups, resamples=4000)
    )
    return [share, ends["share_low"], ends["share_high"]]


def mean_interval(values: NDArray[np.floating], groups: NDArray[np.integer]) -> Interval:
    """The mean of values in -1..1 with its interval over groups."""
    group = np.unique(groups, return_inverse=True)[1]
    units = np.stack([np.bincount(group, values), np.bincount(group)], axis=1)
    ends = bootstrap.bca_interval(
        units, lambda totals: totals[..., 0] / totals[..., 1], limits=(-1, 1), expanded=True, resamples=4000
    )
    return [float(values.mean()), *ends]
