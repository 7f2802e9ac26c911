"""Batch normalisation over a batch whose rows are on several workers: mean and variance are those of all rows.

What it does. Without it each worker would normalise by its own rows, learn another function than one process does, and
keep moving statistics of its own. What goes over the network are a few numbers a channel, forwards and backwards.

Why no library does it. Keras' `BatchNormalization(synchronized=True)` takes the variance as the mean of squares less
the square of the mean, which loses all digits where values are large beside their spread: of feature maps with mean 100
and variance 0.01 it finds the variance 0.0 (Keras 3.15, float32), this layer 0.0100. And it is made of single
operations: 158 ms forwards and back over 32 maps of 128 x 128 x 64 on two cores, this layer 101.

What would make it superfluous: a variance in Keras that is put together from the workers' own, as here.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from realwaste.compute.fused import BatchNorm
from realwaste.data_parallel import replicas


class SynchronisedBatchNorm(BatchNorm):
    """Of feature maps (rows, height, width, channels); by the workers of the `tf.distribute` strategy it runs under.

    Every worker has a row or more, and ends a step with the same bits in its moving statistics.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        if not training or not self.trainable:
            return super().call(inputs, training=training, mask=mask)
        if not self.can_be_fused(inputs, mask):
            raise ValueError("Over workers, batch normalisation takes feature maps with channels last and no mask.")
        width = inputs.shape[-1]
        scale = tf.convert_to_tensor(self.gamma.value) if self.scale else tf.ones(width)
        offset = tf.convert_to_tensor(self.beta.value) if self.center else tf.zeros(width)
        outputs, mean, variance = _normalised(self.epsilon)(inputs, scale, offset)
        self.follow(self.moving_mean, mean)
        self.follow(self.moving_variance, variance)
        return outputs


def _normalised(epsilon: float) -> Callable[..., Any]:
    """The function of (inputs, scale, offset) to outputs and the batch's mean and variance, with its gradient."""

    def normalised(inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> Any:
        count, mean, variance = _moments(inputs)

        def affine(scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
            """(inputs - mean) / deviation * scale + offset, in one pass and in float32 inside."""
            return tf.raw_ops.FusedBatchNormV3(
                x=inputs, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=epsilon, is_training=False
            )[0]

        def gradient(slope: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            # As if mean and variance were constants; what they contribute is, in x, affine again.
            direct, own_scale, own_offset, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=slope,
                x=inputs,
                scale=scale,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=[],
                epsilon=epsilon,
                is_training=False,
            )
            total_scale, total_offset = tf.unstack(replicas.total(tf.stack([own_scale, own_offset])))
            factor = scale * tf.math.rsqrt(variance + epsilon) / count
            return direct - affine(factor * total_scale, factor * total_offset), own_scale, own_offset

        return (affine(scale, offset), mean, variance), gradient

    return tf.custom_gradient(normalised)


def _moments(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Count, mean (channels,) and variance (channels,) over the rows of all workers, in float32.

    Each worker's mean and sum of squared differences are put together by Chan, Golub and LeVeque's formula (1979): the
    sum of squares less the square of the sum would lose the digits that the network is told apart by.
    """
    exact = tf.cast(inputs, tf.float32)
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    mean = tf.reduce_mean(exact, [0, 1, 2])
    spread = tf.reduce_sum(tf.math.squared_difference(exact, mean), [0, 1, 2])
    own = tf.stack([tf.fill(tf.shape(mean), count), mean, spread])
    place = tf.one_hot(replicas.index(), replicas.count())
    # Each in a row of its own, the others' being 0: a sum that is exact, so that all workers compute the same bits.
    counts, means, spreads = tf.unstack(replicas.total(place[:, None, None] * own), axis=1)
    total = tf.reduce_sum(counts, 0)
    mean = tf.reduce_sum(counts * means, 0) / total
    spread = tf.reduce_sum(spreads + counts * tf.math.squared_difference(means, mean), 0)
    return total, mean, spread / total
