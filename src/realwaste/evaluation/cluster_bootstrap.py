"""Intervals and a paired test for photographs that are not independent, with near-duplicate groups as the units.

Twelve photographs of one bottle say little more about a model than one does. Therefore whole groups of photographs are
resampled: the intervals come from a cluster bootstrap, and the test is a permutation test over groups (Good, 2005). If
each group has one image, the test is McNemar's.
"""

import numpy as np
from numpy.typing import NDArray

from realwaste.evaluation import bootstrap, resampled_f1, scores
from realwaste.evaluation.bootstrap import Totals
from realwaste.models.probabilities import Labels, Probabilities

Groups = NDArray[np.integer]
"""The near-duplicate group of each image, (n,)."""
Correct = NDArray[np.bool_]
"""Whether the prediction for each image is correct, (n,)."""
MIN_GROUPS = 20
"""With fewer groups, intervals by groups say nothing: the spread between groups cannot be estimated."""


def are_enough(groups: Groups) -> bool:
    """Whether there are MIN_GROUPS groups."""
    return len(np.unique(groups)) >= MIN_GROUPS


def accuracy_interval(correct: Correct, groups: Groups, *, resamples: int = 10_000) -> tuple[float, float]:
    """The 95 % interval of the accuracy of predictions (n,) in at least two groups.

    If all predictions are correct, or all are wrong, the correlation within groups cannot be estimated. Then each group
    counts as one image (Wilson 1927).
    """
    if _all_equal(correct):
        return scores.wilson_interval(float(correct[0]), len(np.unique(groups)))
    units = _sum_by_group(np.stack([correct, np.ones_like(correct)], axis=1), groups)
    return bootstrap.bca_interval(units, _ratio, expanded=True, resamples=resamples)


def macro_f1_interval(
    labels: Labels, probabilities: Probabilities, groups: Groups, *, resamples: int = 10_000
) -> tuple[float, float]:
    """The 95 % interval of the macro F1; that of the accuracy if all predictions are correct, or all are wrong."""
    correct = probabilities.argmax(axis=1) == labels
    if _all_equal(correct):
        return scores.widen_to_macro_f1(accuracy_interval(correct, groups), labels, probabilities)
    return resampled_f1.macro_f1_interval(labels, probabilities, groups, expanded=True, resamples=resamples)


def difference_interval(
    first_correct: Correct, second_correct: Correct, groups: Groups, *, resamples: int = 10_000
) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same images."""
    change = first_correct.astype(np.int64) - second_correct
    if _all_equal(change):  # no resample differs from the sample
        first_rows = np.unique(groups, return_index=True)[1]
        return scores.difference_interval(first_correct[first_rows], second_correct[first_rows])
    units = _sum_by_group(np.stack([change, np.ones_like(change)], axis=1), groups)
    return bootstrap.bca_interval(units, _ratio, limits=(-1.0, 1.0), expanded=True, resamples=resamples)


def permutation_test(first_correct: Correct, second_correct: Correct, groups: Groups) -> float:
    """Exact two-sided p-value of a permutation test that two models have equal accuracy on the same images.

    Under the null hypothesis the two models' predictions for a whole group can be exchanged. The p-value is the share
    of all exchanges, group by group, in which the accuracies differ by at least the observed difference.
    """
    # scipy.stats.permutation_test samples the 2^groups exchanges. The exact distribution is that of a sum.
    change = first_correct.astype(np.int64) - second_correct
    group_differences = np.abs(_sum_by_group(change[:, np.newaxis], groups)[:, 0])
    observed = abs(int(first_correct.sum()) - int(second_correct.sum()))
    largest = int(group_differences.sum())
    distribution = np.zeros(2 * largest + 1)
    distribution[largest] = 1.0
    for difference in group_differences[group_differences > 0].astype(int):
        shifted = np.zeros_like(distribution)
        shifted[difference:] = distribution[:-difference] / 2
        shifted[:-difference] += distribution[difference:] / 2
        distribution = shifted
    return min(1.0, float(distribution[np.abs(np.arange(-largest, largest + 1)) >= observed].sum()))


def _all_equal(values: NDArray[np.generic]) -> bool:
    return bool((values == values[0]).all())


def _sum_by_group(values: NDArray[np.generic], groups: Groups) -> NDArray[np.float64]:
    """The sums (groups, m) of the rows (n, m) of each group."""
    group_index = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((group_index.max() + 1, values.shape[1]))
    np.add.at(sums, group_index, values.astype(np.float64))
    return sums


def _ratio(totals: Totals) -> Totals:
    return np.asarray(totals[..., 0] / totals[..., 1])
