"""Which unlabelled photographs to label next: pool-based active learning, a batch at a time.

Uncertainty sampling by margin: the smaller the difference between the two largest probabilities, the less sure the
model (Scheffer, Decomain and Wrobel, 2001; Settles, 2009). With several models the mean of their probabilities counts,
which is the consensus of query by committee (Seung, Opper and Sompolinsky, 1992; McCallum and Nigam, 1998): models that
are sure of different classes leave a small margin too. The most uncertain photographs alone may be one object
photographed ten times. So the batch is diversified as by Zhdanov (2019, arXiv:1901.05954): of the OVERSAMPLING times
as many most uncertain photographs, k-means clusters the features, weighted by uncertainty, and the photograph nearest
to each cluster's centre is selected. docs/labels.md compares this with uncertainty alone and with diversity alone.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from realwaste.models.probabilities import Probabilities

OVERSAMPLING = 10
_MIN_WEIGHT = 1e-6  # so that photographs of which the model is sure belong to a cluster too

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def margin_uncertainty(probabilities: Probabilities) -> NDArray[np.float64]:
    """One minus the difference between the two largest probabilities, 0 to 1: (n,) for (n, classes)."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    largest = np.partition(np.asarray(probabilities, np.float64), -2, axis=1)
    return np.asarray(1 - (largest[:, -1] - largest[:, -2]))


def l2_normalize(vectors: Vectors) -> Vectors:
    """(n, width): each row scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def select_batch(
    uncertainty: NDArray[np.float64], features: Vectors, count: int, *, oversampling: int = OVERSAMPLING, seed: int = 0
) -> Rows:
    """The rows to label, at most `count`, the most uncertain first.

    Args:
        uncertainty: (n,), from `margin_uncertainty`.
        features: (n, width), from `l2_normalize`.
    """
    order = np.argsort(-uncertainty, kind="stable").astype(np.int64)
    if len(order) <= count:
        return order
    pool = order[: oversampling * count]
    selected = _nearest_to_centres(features[pool], uncertainty[pool] + _MIN_WEIGHT, count, seed)
    # With fewer distinct photographs than clusters, the most uncertain of the others fill the batch.
    filling = np.setdiff1d(np.arange(len(pool)), selected)[: count - len(selected)]
    return np.asarray(pool[np.sort(np.concatenate([selected, filling]))])


def _nearest_to_centres(vectors: Vectors, weights: NDArray[np.float64], count: int, seed: int) -> Rows:
    """The row nearest to the centre of each of `count` clusters."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - takes nearly a second, which a user error need not wait for
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # With several threads the last digits, and so ties, would depend on their number.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct photographs than clusters
        clusters = KMeans(count, n_init=1, random_state=seed).fit(vectors, sample_weight=weights)
    distances = ((vectors - clusters.cluster_centers_[clusters.labels_]) ** 2).sum(axis=1)
    members = [np.flatnonzero(clusters.labels_ == label) for label in np.unique(clusters.labels_)]
    return np.array([rows[distances[rows].argmin()] for rows in members], np.int64)
