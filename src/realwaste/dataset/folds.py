"""Cross-validation folds: stratified, with all images of a group in one fold."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

Rows = NDArray[np.int64]


def split_by_groups(
    labels: NDArray[np.integer], groups: NDArray[np.integer], folds: int, seed: int
) -> list[tuple[Rows, Rows]]:
    """The training rows and the test rows of each fold.

    The number of folds is limited by the number of groups and by the images of the rarest class, but is at least two
    if another class has two images. There are no folds if no class has two images, or if all images are one group.
    `labels` and `groups` are numbers, (n,).
    """
    counts = np.bincount(labels)
    count = min(folds, len(np.unique(groups)), max(2, int(counts[counts > 0].min())))
    if count < 2 or counts.max() < 2:
        return []
    with warnings.catch_warnings():  # for a class with one image, which can be in one fold only
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(labels, labels, groups)
        pairs = [(train_rows, test_rows) for train_rows, test_rows in splits if len(train_rows) and len(test_rows)]
    return pairs if len(pairs) > 1 else []
