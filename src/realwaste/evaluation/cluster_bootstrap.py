"""Intervals and a test for photographs that are not independent: those of one object are drawn, or none of them.

Twelve photographs of one bottle say little more of a model than one. Here a group of photographs is the unit: the
intervals are those of a cluster bootstrap, the test is a permutation test over groups (Good, 2005). With an image a
group the test is McNemar's.
"""

import numpy as np
from numpy.typing import NDArray

from realwaste.evaluation import bootstrap, resampled_f1, scores
from realwaste.evaluation.bootstrap import Totals
from realwaste.models.probabilities import Labels, Probabilities

Groups = NDArray[np.integer]
Correct = NDArray[np.bool_]


def accuracy_interval(right: Correct, groups: Groups, *, resamples: int = 10_000) -> tuple[float, float]:
    """The 95 % interval of the accuracy.

    Where all answers are right, or all are wrong, nothing shows how alike those of a group are: then each group counts
    as one image (Wilson 1927).

    Args:
        right: (n,), whether each image was answered rightly; groups: (n,), a number that those of one group share.
    """
    if _all_alike(right):
        return scores.wilson_interval(float(right[0]), len(np.unique(groups)))
    units = _sums(np.stack([right, np.ones_like(right)], axis=1), groups)
    return bootstrap.bca_interval(units, _ratio, expanded=True, resamples=resamples) if len(units) > 1 else (0.0, 1.0)


def macro_f1_interval(
    labels: Labels, probabilities: Probabilities, groups: Groups, *, resamples: int = 10_000
) -> tuple[float, float]:
    """The 95 % interval of the macro F1; where all answers are right, or all are wrong, that of the accuracy."""
    answers = probabilities.argmax(axis=1)
    right = answers == labels
    if _all_alike(right) or len(np.unique(groups)) == 1:
        low, high = accuracy_interval(right, groups)
        measured = float(scores.macro_f1(scores.confusion_matrix(labels, probabilities)))
        return min(low, measured), max(high, measured)
    return resampled_f1.macro_f1_interval(
        labels, answers, groups, probabilities.shape[1], expanded=True, resamples=resamples
    )


def difference_interval(
    first_right: Correct, second_right: Correct, groups: Groups, *, resamples: int = 10_000
) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same images."""
    change = first_right.astype(np.int64) - second_right
    units = _sums(np.stack([change, np.ones_like(change)], axis=1), groups)
    if len(units) == 1:
        return -1.0, 1.0
    if _all_alike(change):  # nothing is drawn where all units are alike
        return scores.difference_interval(
            *(one[np.unique(groups, return_index=True)[1]] for one in (first_right, second_right))
        )
    return bootstrap.bca_interval(units, _ratio, limits=(-1.0, 1.0), expanded=True, resamples=resamples)


def permutation_test(first_right: Correct, second_right: Correct, groups: Groups) -> float:
    """Exact two-sided p-value that two models answering the same images err equally often.

    If they do, the answers to a whole group might as well have been the other model's. Of all ways to exchange them,
    group by group, it is the share in which the accuracies differ by as much as they do, or more.
    """
    # By hand: scipy.stats.permutation_test draws some of the 2^groups ways; their distribution is a sum's, and exact.
    apart = np.abs(_sums((first_right.astype(np.int64) - second_right)[:, np.newaxis], groups)[:, 0])
    measured = abs(int(first_right.sum()) - int(second_right.sum()))
    most = int(apart.sum())
    share = np.zeros(2 * most + 1)
    share[most] = 1.0
    for step in apart[apart > 0].astype(int):
        moved = np.zeros_like(share)
        moved[step:] = share[:-step] / 2
        moved[:-step] += share[step:] / 2
        share = moved
    return min(1.0, float(share[np.abs(np.arange(-most, most + 1)) >= measured].sum()))


def _all_alike(values: NDArray[np.generic]) -> bool:
    return bool((values == values[0]).all())


def _sums(values: NDArray[np.generic], groups: Groups) -> NDArray[np.float64]:
    """The sum (groups, m) of the rows (n, m) of each group."""
    number = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((number.max() + 1, values.shape[1]))
    np.add.at(sums, number, values.astype(np.float64))
    return sums


def _ratio(totals: Totals) -> Totals:
    return np.asarray(totals[..., 0] / totals[..., 1])
