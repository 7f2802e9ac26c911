"""What a worker computes for one batch: its part of a training step, or of a validation."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from realwaste.data_parallel import replicas
from realwaste.training import fitting
from realwaste.training.fitting import Schedule
from realwaste.training.samples import Samples


def class_weights(train: Samples, schedule: Schedule) -> tf.Tensor:
    """The weights (classes,) by which the loss of a row of each class counts."""
    weights = np.ones(int(train.labels.max()) + 1, np.float32)
    if schedule.class_weights:
        for label, weight in fitting.class_weights(train.labels).items():
            weights[label] = weight
    return tf.constant(weights)


def training_step(
    twin: keras.Model, schedule: Schedule, weights: tf.Tensor, strategy: tf.distribute.Strategy
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Make the function that takes a step, of a worker's rows of a batch and the number of all workers' rows of it.

    It gives the sums over all of losses and of right answers, the same on every worker.
    """
    losses_of = fitting.row_losses(schedule)
    learned = twin.trainable_variables

    def gradients(pixels: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            answers = twin(pixels, training=True)
            losses = losses_of(labels, answers) * tf.gather(weights, labels)
            loss = twin.optimizer.scale_loss(tf.reduce_sum(losses) / rows)
        found = tape.gradient(loss, [variable.value for variable in learned])
        return replicas.total([*found, tf.stack([tf.reduce_sum(losses), _hits(labels, answers)])])

    def step(pixels: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        *found, sums = strategy.run(gradients, args=(pixels, labels, rows))
        # Outside of the strategy, for Keras' optimizer would sum the gradients once more.
        twin.optimizer.apply(found, learned)
        return sums

    return tf.function(step, input_signature=[*_signature(twin), tf.TensorSpec([], tf.float32)])


def validation_step(twin: keras.Model, schedule: Schedule) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Make the function of a worker's rows to the sums of their losses and of right answers."""
    losses_of = fitting.row_losses(schedule)

    def judge(pixels: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        answers = twin(pixels, training=False)
        return tf.stack([tf.reduce_sum(losses_of(labels, answers)), _hits(labels, answers)])

    return tf.function(judge, input_signature=_signature(twin))


def _signature(twin: keras.Model) -> list[tf.TensorSpec]:
    (entry,) = twin.inputs
    return [tf.TensorSpec(entry.shape, entry.dtype), tf.TensorSpec([None], tf.int64)]


def _hits(labels: tf.Tensor, answers: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(keras.metrics.sparse_categorical_accuracy(labels, answers), tf.float32))
