"""Which unlabelled photographs are worth a label most: pool-based active learning, a batch at a time.

Uncertainty sampling by margin: the nearer the best two classes, the less sure the answer (Scheffer, Decomain and
Wrobel, 2001; Settles, 2009). Of several models the mean answer counts, the consensus of a query by committee (Seung,
Opper and Sompolinsky, 1992; McCallum and Nigam, 1998): models that are sure of different classes leave no margin
either. The least sure alone would be one object photographed ten times; so they are spread over the feature space by
diverse mini-batch active learning (Zhdanov, 2019, arXiv:1901.05954): the OVERSAMPLED times as many least sure are
clustered by k-means, weighted by uncertainty, and each cluster's middle is chosen. What that is worth, beside
the least sure alone and the spread alone: docs/labels.md.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from realwaste.models.probabilities import Probabilities

OVERSAMPLED = 10
_LEAST = 1e-6  # a weight, so that pictures of which the model is sure have a place too

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def uncertainty(probabilities: Probabilities) -> NDArray[np.float64]:
    """One minus the margin of the best two classes, 0 to 1, (n,) for (n, classes)."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    best = np.partition(np.asarray(probabilities, np.float64), -2, axis=1)
    return np.asarray(1 - (best[:, -1] - best[:, -2]))


def unit(vectors: Vectors) -> Vectors:
    """(n, width), each of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def chosen(
    uncertain: NDArray[np.float64], vectors: Vectors, count: int, *, oversampled: int = OVERSAMPLED, seed: int = 0
) -> Rows:
    """The rows to label, at most `count`, the least sure first.

    Args:
        uncertain: as of `uncertainty`, (n,).
        vectors: (n, width), as of `unit`.
    """
    order = np.argsort(-uncertain, kind="stable").astype(np.int64)
    if len(order) <= count:
        return order
    asked = order[: oversampled * count]
    picked = _middles(vectors[asked], uncertain[asked] + _LEAST, count, seed)
    # Where there are fewer different pictures than clusters, the least sure of the rest.
    rest = np.setdiff1d(np.arange(len(asked)), picked)[: count - len(picked)]
    return np.asarray(asked[np.sort(np.concatenate([picked, rest]))])


def _middles(vectors: Vectors, weights: NDArray[np.float64], count: int, seed: int) -> Rows:
    """The row next to the centre of each of `count` clusters."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - nearly a second, which a mistake need not wait for
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # The last digits, and so ties, would depend on the number of threads.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different pictures than clusters
        found = KMeans(count, n_init=1, random_state=seed).fit(vectors, sample_weight=weights)
    away = ((vectors - found.cluster_centers_[found.labels_]) ** 2).sum(axis=1)
    rows = [np.flatnonzero(found.labels_ == number) for number in np.unique(found.labels_)]
    return np.array([own[away[own].argmin()] for own in rows], np.int64)
