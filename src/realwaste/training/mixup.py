"""Mixup (Zhang et al., 2018): training on mixtures of two pictures, with the mixture of their labels."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class MixupClassifier(keras.Model):
    """A classifier whose training step augments its pictures and mixes each with the next one of the batch.

    Validation and prediction take pictures as they are. A picture has the larger weight in its own mixture, and the
    training accuracy counts its label. The weights depend only on seed and step, so a resumed training draws the same
    ones. The targets of the loss are distributions over the classes.
    """

    def __init__(self, network: keras.Model, augmentation: Sequence[keras.Layer], *, alpha: float, seed: int) -> None:
        """Build the classifier from the layers and weights of `network`, a functional one.

        Args:
            augmentation: layers for pictures with values in 0..255.
            alpha: parameter of the beta distribution of the mixing weights (lambda in the paper); with a small one most
                pictures hardly change.
        """
        super().__init__(network.inputs, network.outputs)
        self.augmentation, self.alpha, self.seed = list(augmentation), alpha, seed
        self.supports_jit = False  # XLA has no gamma distribution

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, Any]:
        pictures, labels = tf.cast(data[0], tf.float32), self._one_hot(data[1])
        for layer in self.augmentation:
            pictures = layer(pictures, training=True)
        weights = draw_mixing_weights(tf.shape(labels)[0], self.alpha, self.seed, self.optimizer.iterations)
        return super().train_step((_mix(pictures, weights), _mix(labels, weights)))

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, Any]:
        return super().test_step((data[0], self._one_hot(data[1])))

    def _one_hot(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(labels, self.output_shape[-1])


def draw_mixing_weights(count: int | tf.Tensor, alpha: float, seed: int, step: int | tf.Tensor) -> tf.Tensor:
    """The weights of `count` pictures in their own mixtures: draws of Beta(alpha, alpha), mirrored to 0.5..1."""
    seeds = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    # In float32, with a small alpha, both would often be 0. In float64 that is rare; the weight is then 1.
    first, second = tf.unstack(tf.random.stateless_gamma([2, count], seeds, alpha, dtype=tf.float64))
    weight = tf.math.divide_no_nan(first, first + second)
    return tf.cast(tf.maximum(weight, 1 - weight), tf.float32)


def _mix(rows: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Each row of a batch (n, …) by its weight (n,), plus the next row by the rest."""
    weight = tf.reshape(weights, [-1] + [1] * (len(rows.shape) - 1))
    return weight * rows + (1 - weight) * tf.roll(rows, -1, axis=0)
