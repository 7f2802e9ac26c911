"""Batches of samples, in an order that depends only on seed and epoch."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.training.samples import Samples


def shuffled(
    samples: Samples,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    shuffle: bool,
    start_epoch: int = 0,
) -> tf.data.Dataset:
    """The batches of the epochs start_epoch … epochs - 1, one epoch after the other; uint8 stays uint8.

    The order of an epoch is a function of (seed, epoch) and not of a generator's state. So a training that is resumed
    at epoch 5 gets the same batches as one that was never interrupted.

    Args:
        shuffle: False for one order in all epochs, that of the first. That order is random too: rows are sorted by
            class here, while `train_test_split` had shuffled the report's rows once.
    """

    def index_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        index = epoch_order(len(samples.labels), tf.constant(seed, tf.int64), epoch, shuffle=shuffle)
        return tf.data.Dataset.from_tensor_slices(index).batch(batch_size)

    return _load_batches(samples, tf.data.Dataset.range(start_epoch, epochs).flat_map(index_batches))


def epoch_order(count: int | tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor, *, shuffle: bool) -> tf.Tensor:
    """The order of `count` samples in an epoch; see `shuffled`."""
    seeds = tf.stack([seed, epoch if shuffle else tf.zeros_like(epoch)])
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=seeds)


def ordered(samples: Samples, *, batch_size: int) -> tf.data.Dataset:
    """Batches in the order given."""
    return _load_batches(samples, tf.data.Dataset.range(len(samples.labels)).batch(batch_size))


def steps(count: int, batch_size: int) -> int:
    """The number of batches for `count` samples; the last one may be smaller."""
    return -(-count // batch_size)


def _load_batches(samples: Samples, indices: tf.data.Dataset) -> tf.data.Dataset:
    inputs, labels = samples.inputs, samples.labels

    def rows(index: NDArray[np.integer]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        # From the array itself, in memory or not: a tensor of the whole set would be a second copy in memory.
        return inputs[index], labels[index]

    def take(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, targets = tf.numpy_function(rows, [index], [inputs.dtype, labels.dtype], stateful=False)
        features.set_shape([None, *inputs.shape[1:]])
        targets.set_shape([None])
        return features, targets

    # With autotuning, TensorFlow 2.21 ends some epochs only when a timer fires, at 10 ms x (2^n - 1): an epoch of 1.4 s
    # then takes 2.4 to 2.6 s (measured in docs/results.md).
    options = tf.data.Options()
    options.autotune.enabled = False
    return indices.map(take, num_parallel_calls=1).prefetch(2).with_options(options)
