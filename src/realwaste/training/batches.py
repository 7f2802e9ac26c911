"""Rows of an array to batches, in an order that depends on seed and epoch alone; whole, or a worker's part of each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.training.samples import Samples


@dataclass(frozen=True)
class Part:
    """A worker's part of rows: of n, worker `index` of `count` has those from n·index/count to n·(index + 1)/count.

    Of ten rows, the three workers have rows 0 to 2, 3 to 5 and 6 to 9.

    All parts together are the rows, in their order; none is more than a row longer than another.
    """

    index: int = 0
    count: int = 1

    def range(self, rows: int) -> tuple[int, int]:
        """The first row of the part, and the one after its last."""
        return rows * self.index // self.count, rows * (self.index + 1) // self.count

    def of(self, batch: tf.Tensor) -> tf.Tensor:
        """The part's rows of a batch; all rows where there are fewer than workers, since networks choke on no row.

        The mean over all workers' rows, and their variance, are in either case those of the batch.
        """
        rows = tf.shape(batch)[0]
        part = batch[rows * self.index // self.count : rows * (self.index + 1) // self.count]
        return tf.cond(rows < self.count, lambda: batch, lambda: part)

    def rows(self, batch: int) -> int:
        """How many rows all workers together compute of a batch of `batch` rows."""
        return batch if batch >= self.count else batch * self.count


WHOLE = Part()


def shuffled(
    samples: Samples,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    shuffle: bool,
    start_epoch: int = 0,
    part: Part = WHOLE,
) -> tf.data.Dataset:
    """Batches of the epochs start_epoch … epochs - 1, one after the other, or `part` of each; uint8 stays uint8.

    An epoch's order is a function of (seed, epoch), with no generator state to lose: a training that goes on at epoch
    5 sees what an undisturbed one sees there.

    Args:
        shuffle: False for one order in all epochs, that of the first. It is drawn too: `train_test_split` mixed the
            report's rows once, and its generator then kept to them. Rows here are sorted by class.
    """
    count = len(samples.labels)

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        drawn = tf.stack([tf.constant(seed, tf.int64), epoch if shuffle else tf.zeros_like(epoch)])
        index = tf.random.experimental.stateless_shuffle(tf.range(count), seed=drawn)
        return tf.data.Dataset.from_tensor_slices(index).batch(batch_size)

    return _taken(samples, tf.data.Dataset.range(start_epoch, epochs).flat_map(order).map(part.of))


def ordered(samples: Samples, *, batch_size: int, part: Part = WHOLE) -> tf.data.Dataset:
    """Batches in the order given, of this part of the samples; none where it is empty."""
    return _taken(samples, tf.data.Dataset.range(*part.range(len(samples.labels))).batch(batch_size))


def steps(count: int, batch_size: int) -> int:
    """The number of batches of so many rows; the last one may be smaller."""
    return -(-count // batch_size)


def _taken(samples: Samples, indices: tf.data.Dataset) -> tf.data.Dataset:
    inputs, labels = samples.inputs, samples.labels

    def rows(index: NDArray[np.integer]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        # Taken from the array itself, wherever it is: a tensor of the whole set would be a second copy in memory.
        return inputs[index], labels[index]

    def take(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, targets = tf.numpy_function(rows, [index], [inputs.dtype, labels.dtype], stateful=False)
        features.set_shape([None, *inputs.shape[1:]])
        targets.set_shape([None])
        return features, targets

    # With autotuning on, TensorFlow 2.21 ends some epochs only when its timer does, at 10 ms x (2^n - 1): epochs with
    # 1.4 s of work then last 2.4 to 2.6 s, and never with it off. `make bench` counts them.
    options = tf.data.Options()
    options.autotune.enabled = False
    return indices.map(take, num_parallel_calls=1).prefetch(2).with_options(options)
