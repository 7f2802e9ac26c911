"""Folds of a cross-validation: stratified, with the images of one group in one fold."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

Rows = NDArray[np.int64]


def split_by_groups(
    labels: NDArray[np.integer], groups: NDArray[np.integer], folds: int, seed: int
) -> list[tuple[Rows, Rows]]:
    """The rows to learn from and those to test on, a pair a fold.

    There are at most as many folds as groups, and as images of the rarest class, but two if another class has two
    images; none where no class has two, or all images are one group.

    Args:
        labels: (n,), class numbers; groups: (n,).
    """
    counts = np.bincount(labels)
    count = min(folds, len(np.unique(groups)), max(2, int(counts[counts > 0].min())))
    if count < 2 or counts.max() < 2:
        return []
    with warnings.catch_warnings():  # of a class with one image, which is in one fold alone
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(labels, labels, groups)
        pairs = [(learned, tested) for learned, tested in parts if len(learned) and len(tested)]
    return pairs if len(pairs) > 1 else []
