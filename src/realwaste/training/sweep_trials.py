"""Trials of a learning-rate sweep: the CNN at each rate, from the same weights, on the same batches in one order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import pandas as pd
from numpy.typing import NDArray

from realwaste.dataset.labels import classes_of
from realwaste.models import cnn
from realwaste.runtime import determinism, fused_layers
from realwaste.training import batches, training_history, training_loop
from realwaste.training.samples import Samples
from realwaste.training.sweep_table import named


@dataclass(frozen=True)
class Sweep:
    """What a sweep tries.

    Attributes:
        splits: path, label and split of each image under `root`.
        cache: of the decoded pictures, see realwaste.training.pixel_cache.
        network: arguments of cnn.build.
        schedule: of every trial, but for its learning rate.
        prune: end rates early that fall behind.
    """

    rates: Sequence[float]
    splits: pd.DataFrame
    root: Path
    image_size: int
    cache: str
    network: Mapping[str, Any]
    schedule: training_loop.Schedule
    deterministic: bool
    prune: bool = False


@dataclass(frozen=True)
class Tried:
    """What came of a sweep.

    Attributes:
        table: rates.COLUMNS and `seconds` of the rate, in the order of the rates.
        cache: where the decoded pictures waited.
    """

    table: pd.DataFrame
    cache: str


class Trials:
    """Trials in one process, one after the other: one network, which each rate trains from the same weights.

    A network for each would grow the process from rate to rate, 0.3 GB of the CNN at 256 px: TensorFlow 2.21 gives back
    none of the memory it had, and the next network does not fit in the pieces that the last one left.
    """

    def __init__(self, sweep: Sweep, train: Samples, val: Samples) -> None:
        self.sweep, self.train, self.val = sweep, train, val

    def fit(
        self, rate: float, *, checkpoint: Path, live: Callable[[pd.DataFrame], None] | None = None
    ) -> training_history.Training:
        """Train the CNN at one rate; checkpoint and live as of realwaste.training.training_loop.fit."""
        start = self._drawn()
        for own, found in zip(self._twin.weights, start.weights, strict=True):
            own.assign(found.value)
        del start
        optimizer = self._twin.optimizer
        for variable, value in zip(optimizer.variables, self._scalars, strict=True):
            variable.assign(keras.ops.zeros_like(variable) if value is None else value)  # moments begin as zeros
        optimizer.learning_rate = rate
        schedule = replace(self.sweep.schedule, learning_rate=rate)
        return training_loop.fit_twin(self._twin, self.train, self.val, schedule, checkpoint=checkpoint, live=live)

    def _drawn(self) -> keras.Model:
        sweep = self.sweep
        determinism.make_repeatable(sweep.schedule.seed, deterministic=sweep.deterministic)
        return cnn.build(sweep.image_size, len(classes_of(sweep.splits)), **sweep.network)

    @cached_property
    def _twin(self) -> keras.Model:
        keras.utils.clear_session()  # of a trial that this process may have had before
        schedule = self.sweep.schedule
        twin = fused_layers.twin(self._drawn(), schedule.dtype_policy, to_train=True)
        training_loop.compile_for_training(twin, schedule, batches.steps(len(self.train.labels), schedule.batch_size))
        twin.optimizer.build(twin.trainable_variables)
        return twin

    @cached_property
    def _scalars(self) -> list[NDArray[Any] | None]:
        """What counters and scales of the optimizer begin with; None in the place of a moment."""
        return [variable.numpy() if variable.ndim == 0 else None for variable in self._twin.optimizer.variables]


def finished(kept: Path, rate: float) -> Path:
    """The file in which the table of a rate that is done waits for the others."""
    return kept / f"rate_{named(rate)}.csv"


def checkpoint(kept: Path, rate: float) -> Path:
    """The checkpoint of a rate that is being tried."""
    return kept / f"epochs_{named(rate)}"


def clear(kept: Path, rate: float) -> None:
    """Delete the checkpoints of a rate that is done: 0.8 GB of the CNN at 256 px."""
    for old in kept.glob(f"{checkpoint(kept, rate).name}.*"):
        old.unlink()
