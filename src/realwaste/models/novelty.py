"""Novelty (out-of-distribution) detection by the nearest training images in feature space (Sun et al., 2022).

The novelty score of an image is one minus the mean cosine similarity of its features to those of the NEIGHBOURS nearest
training images: 0 for a training image that occurs NEIGHBOURS times, 1 for features orthogonal to all. A classifier's
probabilities cannot replace it: they always sum to 1 over the classes of the training. docs/novelty_and_field.md
compares scores. Users see it as `strangeness`, and a novel image as "unlike anything this model has learned".
"""

from dataclasses import dataclass, replace
from typing import IO

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 3
UNLIKE = "unlike anything this model has learned"
_MAX_VECTORS = 4096  # in a model file: 12 MB of InceptionResNetV2's
_MAX_BYTES = 256 << 20  # of all vectors: 32,000 numbers each
_PERCENTILE = 95  # of the validation images' scores: the threshold
MIN_LENGTH = 1e-12  # of a vector, so as not to divide by 0

Features = NDArray[np.floating]


@dataclass(frozen=True)
class Novelty:
    """What novelty scores are computed from."""

    train_features: NDArray[np.float16]  # of training images, (n, width), each of length 1
    threshold: float  # the score that 95 % of the validation images do not exceed

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Scores (n,) of features (n, width): 0 to 1 if no feature is negative, else 0 to 2; NaN for NaN."""
        cosines = _unit(features) @ self.train_features.astype(np.float32).T
        k = min(NEIGHBOURS, len(self.train_features))
        return np.asarray(1 - np.partition(cosines, -k, axis=1)[:, -k:].mean(axis=1), np.float32)


def fit(train: Features, val: Features) -> Novelty | None:
    """From the features (n, width) of training and of validation images; None if the network diverged."""
    if not (np.isfinite(train).all() and np.isfinite(val).all()):
        return None
    without_threshold = Novelty(_unit(train).astype(np.float16), np.nan)
    return replace(without_threshold, threshold=float(np.percentile(without_threshold.scores(val), _PERCENTILE)))


def sample_indices(count: int) -> NDArray[np.int64]:
    """Indices, out of `count` images, of those whose features are used: all, or a fixed random sample of 4,096."""
    indices = np.random.default_rng(0).permutation(count)[:_MAX_VECTORS]
    return np.asarray(np.sort(indices), np.int64)


def save(file: IO[bytes], novelty: Novelty) -> None:
    """Write as .npz; its keys stay those of earlier versions."""
    np.savez(file, learned=novelty.train_features, threshold=novelty.threshold)


def load(file: IO[bytes]) -> Novelty:
    """Read what `save` wrote; ValueError, TypeError, KeyError or zipfile.BadZipFile for anything else."""
    with np.load(file, allow_pickle=False) as stored:
        size = sum(info.file_size for info in stored.zip.infolist())
        if size > _MAX_BYTES:
            raise ValueError(f"it unpacks to {size:,} bytes")
        features, threshold = stored["learned"], float(stored["threshold"])
    if features.ndim != 2 or not 0 < len(features) <= _MAX_VECTORS or features.dtype != np.float16:
        raise ValueError(f"features of shape {features.shape} and type {features.dtype}")
    if not (np.isfinite(features).all() and np.isfinite(threshold)):
        raise ValueError("features or threshold are not finite")
    return Novelty(features, threshold)


def _unit(features: Features) -> NDArray[np.float32]:
    vectors = np.asarray(features, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), MIN_LENGTH)
