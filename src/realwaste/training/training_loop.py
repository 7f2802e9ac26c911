"""The training loop: fitting a classifier (report, sections 1.9 and 2.3)."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.core.log import is_quiet
from realwaste.runtime import fused_layers
from realwaste.training import batches
from realwaste.training.checkpoint import Checkpoint
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule
from realwaste.training.training_history import METRICS, Training, build_training, history_table


def fit(
    model: keras.Model,
    train: Samples,
    val: Samples,
    schedule: Schedule,
    *,
    training_copy: keras.Model | None = None,
    checkpoint: Path | None = None,
    on_epoch_end: Callable[[pd.DataFrame], None] | None = None,
    silent: bool = False,
) -> Training:
    """Fit `model` in place, by training a copy of it. The training ends early when a loss is not finite.

    Args:
        training_copy: has the same weights in the same order; by default, a fused copy.
        checkpoint: where the state is saved after each epoch; the training resumes from it if it exists.
        on_epoch_end: called with the history, as in Training, after each epoch.
        silent: without Keras' progress bar.
    """
    training_copy = training_copy or fused_layers.fuse(model, schedule.dtype_policy, for_training=True)
    compile_for_training(training_copy, schedule, batches.steps(len(train.labels), schedule.batch_size))
    trained = fit_compiled(
        training_copy, train, val, schedule, checkpoint=checkpoint, on_epoch_end=on_epoch_end, silent=silent
    )
    # One by one: get_weights and set_weights would hold two more copies, 0.3 GB of the CNN at 256 px.
    for weight, trained_weight in zip(model.weights, training_copy.weights, strict=True):
        weight.assign(trained_weight.value)
    return trained


def fit_compiled(
    training_copy: keras.Model,
    train: Samples,
    val: Samples,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    on_epoch_end: Callable[[pd.DataFrame], None] | None = None,
    silent: bool = False,
) -> Training:
    """As `fit`, of a copy that compile_for_training has compiled."""
    saved = Checkpoint(checkpoint, METRICS, schedule.patience, schedule.keep)
    callbacks = [keras.callbacks.TerminateOnNaN(), saved]
    if on_epoch_end:
        report = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: on_epoch_end(history_table(saved.rows)))
        callbacks.append(report)
    epochs_done = saved.restore(training_copy)
    if not saved.is_finished(schedule.epochs):
        epochs = batches.shuffled(
            train,
            batch_size=schedule.batch_size,
            epochs=schedule.epochs,
            seed=schedule.seed,
            shuffle=schedule.shuffle,
            start_epoch=epochs_done,
        )
        training_copy.fit(
            epochs,
            steps_per_epoch=batches.steps(len(train.labels), schedule.batch_size),
            class_weight=class_weights(train.labels) if schedule.class_weights else None,
            initial_epoch=epochs_done,
            epochs=schedule.epochs,
            validation_data=batches.ordered(val, batch_size=schedule.batch_size),
            # realwaste.training.batches shuffles already.
            shuffle=False,
            callbacks=callbacks,
            verbose=0 if silent else _verbosity(),
        )
    saved.restore_best(training_copy)
    return build_training(saved.rows, saved.seconds, saved.best_epoch())


def compile_for_training(training_copy: keras.Model, schedule: Schedule, steps: int) -> None:
    """Compile `training_copy` for `schedule`, with `steps` batches in each epoch."""
    optimizer = _optimizer(schedule, steps)
    if schedule.dtype_policy == "mixed_float16":
        # Gradients below 6e-8 are 0 in float16. Keras adds this itself only for a global policy, and starts at 2^15:
        # steps that overflow are skipped, and a small training would lose its first ones.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**10)
    accuracy = keras.metrics.CategoricalAccuracy if schedule.mixup else keras.metrics.SparseCategoricalAccuracy
    # Given by name, Keras would create the metric in the first step, and TensorFlow then traces each step twice.
    training_copy.compile(optimizer=optimizer, loss=_loss(schedule), metrics=[accuracy(name="accuracy")])


class CompiledTraining:
    """A compiled copy that can be trained several times, each time as if it were new.

    Tracing the training step again takes longer than the whole training of a head. And TensorFlow 2.21 does not reuse
    the memory of the previous network for a new one: 0.3 GB more for each CNN at 256 px.
    """

    def __init__(self, training_copy: keras.Model, schedule: Schedule, steps: int) -> None:
        """Compile `training_copy` for `schedule`, with `steps` batches in each epoch."""
        compile_for_training(training_copy, schedule, steps)
        training_copy.optimizer.build(training_copy.trainable_variables)
        self.training_copy, self._schedule = training_copy, schedule
        inputs = tf.TensorSpec((None, *training_copy.input_shape[1:]), tf.float32)
        signature = [inputs, tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int64)]
        self._train_all = tf.function(self._train_steps, input_signature=signature)
        # The initial counters and scales; moments, which have a dimension, start as zeros.
        self._initial = [
            variable.numpy() if variable.ndim == 0 else None for variable in training_copy.optimizer.variables
        ]

    def train(self, train: Samples, seed: int) -> None:
        """As fit_compiled, without validation and without a history: the same bits in a tenth of the time.

        All steps are one call, in place of a call of Keras for each batch and of a new input pipeline for each epoch. A
        training ends as soon as its loss is not finite, here as there.
        """
        # XLA compiles on a GPU; larger inputs than the memory are no array.
        if self.training_copy.jit_compile or not isinstance(train.inputs, np.ndarray):
            fit_compiled(self.training_copy, train, train, replace(self._schedule, seed=seed), silent=True)
            return
        self._train_all(*map(tf.constant, (train.inputs, train.labels)), tf.constant(seed, tf.int64))

    def _train_steps(self, inputs: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> None:
        schedule, count = self._schedule, tf.shape(labels)[0]
        steps = -(-count // schedule.batch_size)
        index, step, is_finite = tf.range(count), tf.constant(0), tf.constant(True)
        while tf.logical_and(is_finite, step < schedule.epochs * steps):  # AutoGraph makes it a loop of the graph
            if step % steps == 0:
                epoch = tf.cast(step // steps, tf.int64)
                index = batches.epoch_order(count, seed, epoch, shuffle=schedule.shuffle)
            start = step % steps * schedule.batch_size
            rows = index[start : start + schedule.batch_size]
            is_finite = tf.math.is_finite(self._step(tf.gather(inputs, rows), tf.gather(labels, rows)))
            step += 1

    def _step(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Keras' training step without its metrics; returns the loss."""
        training_copy = self.training_copy
        with tf.GradientTape() as tape:
            loss = training_copy.compute_loss(
                x=inputs, y=labels, y_pred=training_copy(inputs, training=True), training=True
            )
        weights = training_copy.trainable_weights
        training_copy.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    def restart(self, variables: Sequence[keras.Variable], values: Sequence[tf.Tensor | NDArray[Any]]) -> None:
        """Set `variables` of the copy to `values`, and the optimizer to its initial state."""
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for variable, scalar in zip(self.training_copy.optimizer.variables, self._initial, strict=True):
            variable.assign(keras.ops.zeros_like(variable) if scalar is None else scalar)


def _optimizer(schedule: Schedule, steps: int) -> keras.optimizers.Optimizer:
    # With weight_decay=0 instead of None, Keras still makes a pass over all weights.
    rate, weight_decay = _learning_rate(schedule, steps), schedule.weight_decay or None
    if schedule.optimizer == "adam":
        return fused_layers.Adam(rate, weight_decay=weight_decay)
    momentum = 0.9 if schedule.optimizer == "sgd_momentum" else 0.0
    return keras.optimizers.SGD(rate, momentum=momentum, weight_decay=weight_decay)


def _learning_rate(schedule: Schedule, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    rate, total = schedule.learning_rate, schedule.epochs * steps
    warmup = max(1, round(schedule.warmup * total)) if schedule.warmup else 0
    if schedule.decay == "cosine":
        if not warmup:
            return keras.optimizers.schedules.CosineDecay(rate, total)
        return keras.optimizers.schedules.CosineDecay(0.0, total - warmup, warmup_target=rate, warmup_steps=warmup)
    return keras.optimizers.schedules.PolynomialDecay(0.0, warmup, end_learning_rate=rate) if warmup else rate


def _loss(schedule: Schedule) -> Any:
    if schedule.mixup:
        return keras.losses.CategoricalCrossentropy(label_smoothing=schedule.label_smoothing)
    return smooth_labels(schedule.label_smoothing) if schedule.label_smoothing else "sparse_categorical_crossentropy"


def smooth_labels(label_smoothing: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss function: labels (n,) and probabilities (n, classes) to n losses, before class weights."""

    def smoothed(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        targets = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), probabilities.shape[-1])
        return keras.losses.categorical_crossentropy(targets, probabilities, label_smoothing=label_smoothing)

    return smoothed


def class_weights(labels: NDArray[np.int64]) -> dict[int, float]:
    """Weights for the classes that occur, such that each counts as much as the mean class."""
    counts = np.bincount(labels)
    return {label: float(counts.mean() / count) for label, count in enumerate(counts) if count}


def _verbosity() -> int | str:
    """Keras' progress bar in a terminal, otherwise a line for each epoch; nothing in a quiet run."""
    if is_quiet():
        return 0
    return "auto" if sys.stdout.isatty() else 2
