"""The bootstrap interval of the macro F1; memory grows with images plus classes, not with the confusion matrix."""

import functools
from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from realwaste.evaluation import bootstrap
from realwaste.evaluation.bootstrap import Totals
from realwaste.models.probabilities import Labels, Probabilities

Integers = NDArray[np.integer]


def macro_f1_interval(
    labels: Labels, probabilities: Probabilities, groups: Integers, *, expanded: bool, resamples: int
) -> tuple[float, float]:
    """The 95 % interval of the macro F1 by a bootstrap over groups (n,) of images; `expanded` as of bca_interval.

    The predictions must be neither all correct nor all wrong.
    """
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    profiles, counts = _group_profiles(labels * classes + predicted, groups, classes)
    statistic = functools.partial(_macro_f1, present=len(np.union1d(labels, predicted)), classes=classes)
    return bootstrap.bca_interval_of_counts(profiles, counts, statistic, expanded=expanded, resamples=resamples)


def _group_profiles(cells: Integers, groups: Integers, classes: int) -> tuple[csr_array, Integers]:
    """The distinct confusion matrices of single groups, as what each adds to the totals, and how many groups have each.

    `cells` (n,) are the indices of the images in the flattened confusion matrix. The table (profiles, 2 * classes) has
    the correct predictions per class, then actual plus predicted images per class.
    """
    members = defaultdict(list)
    for group, cell in zip(groups.tolist(), cells.tolist(), strict=True):
        members[group].append(cell)
    # Sorted by the flattened matrices, so that the random numbers do not depend on the numbering of the groups.
    counts = Counter(
        tuple((-cell, count) for cell, count in sorted(Counter(group_cells).items()))
        for group_cells in members.values()
    )
    profiles = sorted(counts)
    entries = [(row, -cell, images) for row, profile in enumerate(profiles) for cell, images in profile]
    row, cell, images = np.array(entries, np.int64).T
    actual, predicted = np.divmod(cell, classes)
    correct = actual == predicted
    values = np.concatenate([images[correct], images, images])
    coordinates = (
        np.concatenate([row[correct], row, row]),
        np.concatenate([actual[correct], classes + actual, classes + predicted]),
    )
    table = csr_array((values.astype(float), coordinates), shape=(len(profiles), 2 * classes))
    return table, np.array([counts[profile] for profile in profiles])


def _macro_f1(totals: Totals, *, present: int, classes: int) -> Totals:
    """The mean F1 over the classes in a resample, actual or predicted, from totals (…, 2 * classes).

    The F1 of a class that was not drawn is undefined. If it counted as 0, the interval could lie below the estimate.
    Classes that no image of the test set has (`classes` minus `present`) count as 0, as in the estimate.
    """
    correct, images = totals[..., :classes], totals[..., classes:]
    classes_in_resample = np.maximum((images > 0).sum(axis=-1), 1)
    scores = np.ascontiguousarray(2 * correct / np.maximum(images, 1))
    return np.asarray(scores.sum(axis=-1) / classes_in_resample * (present / classes))
