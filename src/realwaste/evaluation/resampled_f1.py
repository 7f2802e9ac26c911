"""The macro F1 of test images that are drawn again, in memory that grows with the images and classes alone."""

import functools
from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from realwaste.evaluation import bootstrap
from realwaste.evaluation.bootstrap import Totals

Numbers = NDArray[np.integer]


def macro_f1_interval(
    labels: Numbers, answers: Numbers, groups: Numbers, classes: int, *, expanded: bool, resamples: int
) -> tuple[float, float]:
    """The 95 % interval of the macro F1 by a bootstrap that draws groups of images; not all answers are right or wrong.

    Args:
        labels: (n,), actual class numbers; answers: (n,), predicted ones; groups: (n,).
        expanded: as of bootstrap.bca_interval.
    """
    kinds, times = _kinds(labels * classes + answers, groups, classes)
    statistic = functools.partial(_macro_f1, present=len(np.union1d(labels, answers)), classes=classes)
    return bootstrap.bca_interval_of_counts(kinds, times, statistic, expanded=expanded, resamples=resamples)


def _kinds(cells: Numbers, groups: Numbers, classes: int) -> tuple[csr_array, Numbers]:
    """Right answers (classes) and actual plus predicted images (classes) of each kind of group, and how many there are.

    Groups are of one kind that have as many images in each cell of the confusion matrix.

    Args:
        cells: (n,), where each image is in the flattened confusion matrix.
    """
    members = defaultdict(list)
    for group, cell in zip(groups.tolist(), cells.tolist(), strict=True):
        members[group].append(cell)
    # In the order of the flattened matrices, so that the random numbers do not depend on how the groups are numbered.
    counted = Counter(tuple((-cell, own.count(cell)) for cell in sorted(set(own))) for own in members.values())
    kinds = sorted(counted)
    entries = [(kind, -cell, images) for kind, own in enumerate(kinds) for cell, images in own]
    kind, cell, images = np.array(entries, np.int64).T
    actual, predicted = np.divmod(cell, classes)
    right = actual == predicted
    values = np.concatenate([images[right], images, images])
    places = (
        np.concatenate([kind[right], kind, kind]),
        np.concatenate([actual[right], classes + actual, classes + predicted]),
    )
    table = csr_array((values.astype(float), places), shape=(len(kinds), 2 * classes))
    return table, np.array([counted[own] for own in kinds])


def _macro_f1(totals: Totals, *, present: int, classes: int) -> Totals:
    """The mean F1 over the classes that are in a resample, actual or predicted; of totals (…, 2 * classes).

    A class that was not drawn says nothing of its F1: with 0 for it, the interval could lie below the estimate. Classes
    that no image of the test has, `classes` less `present`, count 0 as in the estimate.
    """
    right, images = totals[..., :classes], totals[..., classes:]
    drawn = np.maximum((images > 0).sum(axis=-1), 1)
    scores = np.ascontiguousarray(2 * right / np.maximum(images, 1))
    return np.asarray(scores.sum(axis=-1) / drawn * (present / classes))
