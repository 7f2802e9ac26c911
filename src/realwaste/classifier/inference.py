"""Probabilities of a network for image files, for batches, or for vectors."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realwaste.classifier.probabilities import Probabilities
from realwaste.images.reader import read_ahead
from realwaste.images.shards import Shards

if TYPE_CHECKING:
    import keras


def of_pictures(model: "keras.Model", files: Sequence[Path], batch_size: int) -> Probabilities:
    """Probabilities (n, classes) for image files, read a batch at a time: they need not fit in memory."""
    return of_batches(model, read_ahead(files, model.input_shape[1], batch_size))


def of_batches(model: "keras.Model", batches: Iterable[Any]) -> Probabilities:
    """Probabilities (n, classes) for batches of what the model takes."""
    return np.concatenate([model.predict_on_batch(batch) for batch in batches])


def in_one_shape(model: "keras.Model", batch: NDArray[Any], rows: int) -> NDArray[Any]:
    """The model's answers for a batch of `rows` at most, filled up with its first row: a new shape is traced anew."""
    filled = np.concatenate([batch, np.repeat(batch[:1], rows - len(batch), axis=0)])
    return np.asarray(model.predict_on_batch(filled)[: len(batch)])


def features_of_batches(observed: "keras.Model", batches: Iterable[Any]) -> NDArray[np.float32]:
    """Features (n, width) for batches of pictures, by realwaste.classifier.features.observed."""
    return np.concatenate([np.asarray(observed.predict_on_batch(batch)[1], np.float32) for batch in batches])


def of_vectors(model: "keras.Model", vectors: NDArray[np.float32] | Shards, batch_size: int = 4096) -> Probabilities:
    """Probabilities (n, classes) for vectors (n, width)."""
    # Not model.predict: it feeds itself by a dataset with autotuning on, see realwaste.training.batches.
    return of_batches(model, (vectors[start : start + batch_size] for start in range(0, len(vectors), batch_size)))
