"""Trials of a learning-rate sweep: the CNN at each rate, from the same weights, on the same batches in one order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import keras
import pandas as pd

from realwaste.dataset.labels import classes_of
from realwaste.models import cnn
from realwaste.runtime import determinism, fused_layers
from realwaste.training import batches, training_history, training_loop
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.samples import Samples
from realwaste.training.sweep_table import named
from realwaste.training.training_loop import CompiledTraining


@dataclass(frozen=True)
class Sweep:
    """What a sweep tries.

    Attributes:
        splits: path, label and split of each image under `root`.
        recipe: of every trial, but for its learning rate.
        prune: end rates early that fall behind.
    """

    rates: Sequence[float]
    splits: pd.DataFrame
    root: Path
    recipe: CnnRecipe
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

    See CompiledTraining for the reason.
    """

    def __init__(self, sweep: Sweep, train: Samples, val: Samples) -> None:
        self.sweep, self.train, self.val = sweep, train, val

    def fit(
        self, rate: float, *, checkpoint: Path, live: Callable[[pd.DataFrame], None] | None = None
    ) -> training_history.Training:
        """Train the CNN at one rate; checkpoint and live as of realwaste.training.training_loop.fit."""
        twin = self._compiled.twin
        self._compiled.restart(twin.weights, self._draw().weights)
        twin.optimizer.learning_rate = rate
        schedule = replace(self.sweep.recipe.schedule, learning_rate=rate)
        return training_loop.fit_twin(twin, self.train, self.val, schedule, checkpoint=checkpoint, live=live)

    def _draw(self) -> keras.Model:
        sweep = self.sweep
        determinism.make_repeatable(sweep.recipe.schedule.seed, deterministic=sweep.deterministic)
        return cnn.build(classes=len(classes_of(sweep.splits)), **vars(sweep.recipe.architecture))

    @cached_property
    def _compiled(self) -> CompiledTraining:
        keras.utils.clear_session()  # of a trial that this process may have had before
        schedule = self.sweep.recipe.schedule
        twin = fused_layers.fuse(self._draw(), schedule.dtype_policy, for_training=True)
        return CompiledTraining(twin, schedule, batches.steps(len(self.train.labels), schedule.batch_size))


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
