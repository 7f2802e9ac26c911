"""Novelty detection: how strange a picture is to a classifier, by the nearest pictures it learned (Sun et al., 2022).

The strangeness of a picture is one minus the mean cosine of its features with those of the NEAREST training pictures
nearest to it: 0 for a picture that was trained on NEAREST times, 1 for one that has nothing in common with any. A
classifier's own sureness says little of this: its probabilities are among the classes that it knows. Why this score and
not another: docs/realwaste.md.
"""

from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

NEAREST = 3
UNLIKE = "unlike anything this model has learned"
_MOST = 4096  # vectors that a model file holds: 12 MB of InceptionResNetV2's
_MAX_BYTES = 256 << 20  # of that many vectors: 32,000 numbers each
_SHARE = 95  # per cent of validation pictures that are not strange
SMALL = 1e-12  # the least length of a vector to divide by

Features = NDArray[np.floating]


@dataclass(frozen=True)
class Novelty:
    """What strangeness is measured by.

    Attributes:
        learned: features of training pictures, (n, width) float16, each of length 1.
        threshold: the strangeness that 95 % of the validation pictures do not exceed.
    """

    learned: NDArray[np.float16]
    threshold: float

    def strangeness(self, features: Features) -> NDArray[np.float32]:
        """(n,) for features (n, width), 0 to 1 where no feature is negative and to 2 otherwise; NaN of no numbers."""
        return _strangeness(self.learned, features)


def fitted(train: Features, val: Features) -> Novelty | None:
    """From features of training and of validation pictures, (n, width) each; None of a network that diverged."""
    if not (np.isfinite(train).all() and np.isfinite(val).all()):
        return None
    learned = _unit(train).astype(np.float16)
    return Novelty(learned, float(np.percentile(_strangeness(learned, val), _SHARE)))


def sample(count: int) -> NDArray[np.int64]:
    """Which of `count` pictures to measure by: all, or as many as a model file is to hold, drawn alike every time."""
    drawn = np.random.default_rng(0).permutation(count)[:_MOST]
    return np.asarray(np.sort(drawn), np.int64)


def save(file: IO[bytes], novelty: Novelty) -> None:
    """As .npz."""
    np.savez(file, learned=novelty.learned, threshold=novelty.threshold)


def load(file: IO[bytes]) -> Novelty:
    """What `save` wrote; ValueError, TypeError, KeyError or zipfile.BadZipFile for something else."""
    with np.load(file, allow_pickle=False) as stored:
        size = sum(info.file_size for info in stored.zip.infolist())
        if size > _MAX_BYTES:
            raise ValueError(f"it unpacks to {size:,} bytes")
        learned, threshold = stored["learned"], float(stored["threshold"])
    if learned.ndim != 2 or not 0 < len(learned) <= _MOST or learned.dtype != np.float16:
        raise ValueError(f"features of shape {learned.shape} and type {learned.dtype}")
    if not (np.isfinite(learned).all() and np.isfinite(threshold)):
        raise ValueError("features or threshold are not finite")
    return Novelty(learned, threshold)


def _strangeness(learned: NDArray[np.float16], features: Features) -> NDArray[np.float32]:
    cosines = _unit(features) @ learned.astype(np.float32).T
    nearest = min(NEAREST, len(learned))
    return np.asarray(1 - np.partition(cosines, -nearest, axis=1)[:, -nearest:].mean(axis=1), np.float32)


def _unit(features: Features) -> NDArray[np.float32]:
    whole = np.asarray(features, np.float32)
    return whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), SMALL)
