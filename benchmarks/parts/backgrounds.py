"""Backgrounds that photographs have in common, so that a head can be asked about those that it did not learn."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans


def kinds(
    frames: NDArray[np.floating], labels: NDArray[np.int64], groups: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Which of `count` kinds of background each photograph has: (n,), numbered within each class, 0 the most frequent.

    By k-means of unit vectors within the class; a group goes whole where most of it belongs.

    Args:
        frames: vectors (n, width) of the photographs' outer frames alone.
        labels: (n,), the class of each.
        groups: (n,), photographs that were shot together have one number.
    """
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    found = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = labels == label
        drawn = KMeans(min(count, int(own.sum())), n_init=10, random_state=0).fit_predict(unit[own])
        frequent_first = np.argsort(-np.bincount(drawn, minlength=count))
        found[own] = np.argsort(frequent_first)[drawn]
    for group in np.unique(groups):
        found[groups == group] = np.bincount(found[groups == group]).argmax()
    return found
