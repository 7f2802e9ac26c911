"""The training loop of a worker, one of several: the steps of one process, each batch divided over the workers.

What it does. Every worker has a whole copy of the weights, computes the gradient of its rows of a batch, and takes the
step of the sum of all gradients: the copies stay equal without ever being sent. Loss and gradient are means over the
batch, whatever number of rows a worker has of it, so that the steps are those of realwaste.training.fitting.

Why no library does it. Keras' own `fit` cannot run under `tf.distribute.MultiWorkerMirroredStrategy` (tried with Keras
3.15), and Ray Train brings workers together but has no loop of its own for TensorFlow.

What would make it superfluous: a `fit` that runs under that strategy. `keras.distribution`, which on TensorFlow goes by
DTensor, was not tried.

What cannot equal one process is what is drawn: augmentation and dropout. The first worker's numbers are those of one
process, and the others' are as good.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.compute import fused
from realwaste.data_parallel import replicas, steps
from realwaste.data_parallel.batch_norm import SynchronisedBatchNorm
from realwaste.training import batches, fitting, result
from realwaste.training.checkpoint import Checkpoint
from realwaste.training.fitting import Schedule
from realwaste.training.samples import Samples

Rows = list[list[float]]


@dataclass(frozen=True)
class Work:
    """What every worker is given alike.

    Attributes:
        model: its architecture, as Keras' JSON.
        variables: of its twin, weights and then the states of what draws numbers.
        checkpoint: as of fitting.fit; the first worker writes it, all read it.
    """

    model: str
    variables: list[NDArray[Any]]
    schedule: Schedule
    checkpoint: Path | None


@dataclass(frozen=True)
class Outcome:
    """What came of a training: rows, one an epoch in the order of result.METRICS, and the kept epoch's weights."""

    rows: Rows
    seconds: float
    best_epoch: int
    weights: list[NDArray[Any]]


def work_of(model: keras.Model, schedule: Schedule, checkpoint: Path | None) -> Work:
    """The work of training `model`, in a form that travels to other processes."""
    twin = fused.twin(model, schedule.dtype_policy, to_train=True)
    return Work(model.to_json(), [variable.numpy() for variable in twin.variables], schedule, checkpoint)


def fit(
    work: Work,
    train: Samples,
    val: Samples,
    strategy: tf.distribute.Strategy,
    *,
    beat: Callable[[], None] = lambda: None,
    live: Callable[[Rows], None] = lambda rows: None,
) -> Outcome:
    """Train until the end of the schedule, in step with the other workers.

    Args:
        strategy: MultiWorkerMirroredStrategy with one device a worker.
        beat: is called after every batch.
        live: is given the rows so far, after each epoch.

    Raises:
        RuntimeError: the workers do not find the same checkpoint.
    """
    group, schedule, twin = _Group(strategy), work.schedule, _twin_of(work)
    fitting.compile_for_training(twin, schedule, batches.steps(len(train.labels), schedule.batch_size))
    kept = Checkpoint(work.checkpoint, result.METRICS, schedule.patience)
    done = kept.restore(twin)
    group.agree_on(done)
    _draw_apart(twin, group.rank)
    if group.rank:
        kept.path = None
    kept.set_model(twin)
    kept.on_train_begin()
    twin.stop_training = fitting.is_over(kept, schedule)
    epochs = _Epochs(twin, train, val, schedule, group, beat).epochs(done)
    while not twin.stop_training and len(kept.rows) < schedule.epochs:
        row = next(epochs)
        kept.on_epoch_end(len(kept.rows), dict(zip(result.METRICS, row, strict=True)))
        twin.stop_training |= fitting.is_over(kept, schedule)
        live(kept.rows)
    kept.take_best(twin)
    return Outcome(kept.rows, kept.seconds, kept.best_epoch(), twin.get_weights())


def _twin_of(work: Work) -> keras.Model:
    model = keras.models.model_from_json(work.model)
    twin = fused.twin(model, work.schedule.dtype_policy, to_train=True, batch_norm=SynchronisedBatchNorm)
    for variable, value in zip(twin.variables, work.variables, strict=True):
        variable.assign(value)
    return twin


class _Group:
    """The workers of a strategy, this one among them."""

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        resolver = strategy.cluster_resolver
        self.strategy, self.size = strategy, strategy.num_replicas_in_sync
        self.rank = resolver.task_id if resolver and resolver.task_id else 0
        self.part = batches.Part(self.rank, self.size)

        # An argument is on no device, which all_reduce asks for; its copy is.
        self._summed = tf.function(
            lambda values: strategy.run(lambda own: replicas.total(tf.identity(own)), args=(values,)),
            input_signature=[tf.TensorSpec([None], tf.float64)],
        )

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over the workers of a few numbers, the same on every worker."""
        return self._summed(values).numpy()

    def agree_on(self, done: int) -> None:
        own = np.zeros(self.size)
        own[self.rank] = done
        found = self.sum(own)
        if len(set(found)) > 1:
            raise RuntimeError(f"the workers read checkpoints of different epochs: {found.astype(int).tolist()}")


def _draw_apart(twin: keras.Model, rank: int) -> None:
    """Else all workers would draw alike, and rows in the same place of each part have the same dropout."""
    known = {id(weight) for weight in twin.weights}
    for state in (variable for variable in twin.variables if id(variable) not in known):
        state.assign_add(np.array([rank, 0], state.dtype))


@dataclass(frozen=True)
class _Epochs:
    """What a worker goes through; every number it gives is the same on every worker."""

    twin: keras.Model
    train: Samples
    val: Samples
    schedule: Schedule
    group: _Group
    beat: Callable[[], None]

    def epochs(self, done: int) -> Iterator[list[float]]:
        """METRICS of each epoch from number `done` on."""
        own = self.schedule
        feed = batches.shuffled(
            self.train,
            batch_size=own.batch_size,
            epochs=own.epochs,
            seed=own.seed,
            shuffle=own.shuffle,
            start_epoch=done,
            part=self.group.part,
        )
        step = steps.training_step(self.twin, own, steps.class_weights(self.train, own), self.group.strategy)
        judge = steps.validation_step(self.twin, own)
        coming = iter(feed)
        for _ in range(done, own.epochs):
            yield [*self._trained(coming, step), *self._validated(judge)]

    def _trained(self, feed: Iterator[tuple[tf.Tensor, tf.Tensor]], step: Callable[..., tf.Tensor]) -> list[float]:
        count, seen, sums = len(self.train.labels), 0, np.zeros(2)
        while seen < count and np.isfinite(sums[0]):
            rows = min(self.schedule.batch_size, count - seen)
            computed = self.group.part.rows(rows)
            pixels, labels = next(feed)
            sums = sums + step(pixels, labels, tf.constant(computed, tf.float32)).numpy() * rows / computed
            seen += rows
            self.beat()
        return (sums / seen).tolist()

    def _validated(self, judge: Callable[..., tf.Tensor]) -> list[float]:
        sums = np.zeros(2)
        for pixels, labels in batches.ordered(self.val, batch_size=self.schedule.batch_size, part=self.group.part):
            sums = sums + judge(pixels, labels).numpy()
            self.beat()
        return (self.group.sum(sums) / len(self.val.labels)).tolist()
