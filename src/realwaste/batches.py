"""Images in memory to batches, in an order that depends on seed and epoch alone."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.generic]


def shuffled(
    inputs: Array, labels: Array, *, batch_size: int, epochs: int, seed: int, shuffle: bool, start_epoch: int = 0
) -> tf.data.Dataset:
    """Batches of the epochs start_epoch … epochs - 1, one after the other.

    An epoch's order is a function of (seed, epoch), with no generator state to lose: a training that goes on at epoch
    5 sees what an undisturbed one sees there.

    Args:
        inputs: (n, …), kept as it is (uint8 pictures stay uint8); labels: (n,) class numbers.
    """
    count = len(inputs)
    features, targets = tf.constant(inputs), tf.constant(labels)

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        index = tf.range(count, dtype=tf.int32)
        if shuffle:
            index = tf.random.experimental.stateless_shuffle(index, seed=tf.stack([tf.constant(seed, tf.int64), epoch]))
        return tf.data.Dataset.from_tensor_slices(index).batch(batch_size)

    def gather(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(features, index), tf.gather(targets, index)

    return _prompt(tf.data.Dataset.range(start_epoch, epochs).flat_map(order).map(gather, num_parallel_calls=1))


def ordered(inputs: Array, labels: Array, *, batch_size: int) -> tf.data.Dataset:
    """Batches in the order given."""
    return _prompt(tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(batch_size))


def steps(count: int, batch_size: int) -> int:
    return -(-count // batch_size)


def _prompt(dataset: tf.data.Dataset) -> tf.data.Dataset:
    # With autotuning on, TensorFlow 2.21 ends an epoch only at 10 ms x (2^n - 1): 800 small images took 0.62 s an
    # epoch, and 0.35 s without.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)
