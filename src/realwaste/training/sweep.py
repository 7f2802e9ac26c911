"""The learning-rate sweep: the CNN at each rate, from the same weights, on the same batches in one order.

One rate after the other in this process, or side by side on a Ray cluster.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import keras
import pandas as pd

from realwaste.core.files import read_csv, write_csv
from realwaste.core.log import logger
from realwaste.dataset.labels import classes_of
from realwaste.models import cnn
from realwaste.runtime import determinism, fused_layers
from realwaste.training import batches, sweep_table, training_history, training_loop
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.samples import Samples, load_pictures
from realwaste.training.sweep_table import rate_name
from realwaste.training.training_loop import CompiledTraining


@dataclass(frozen=True)
class Sweep:
    """A learning-rate sweep.

    Attributes:
        splits: path, label and split of each image under `root`.
        recipe: of every trial, but for its learning rate.
        prune: stop rates early whose validation loss falls behind.
    """

    rates: Sequence[float]
    splits: pd.DataFrame
    root: Path
    recipe: CnnRecipe
    deterministic: bool
    prune: bool = False


@dataclass(frozen=True)
class SweepResult:
    """The table, in the order of the rates, has sweep_table.COLUMNS and the `seconds` of each rate."""

    table: pd.DataFrame
    cache: str


class Trials:
    """Trials in one process, one after the other. All use one compiled network: see CompiledTraining for the reason."""

    def __init__(self, sweep: Sweep, train: Samples, val: Samples) -> None:
        self.sweep, self.train, self.val = sweep, train, val

    def fit(
        self, rate: float, *, checkpoint: Path, on_epoch_end: Callable[[pd.DataFrame], None] | None = None
    ) -> training_history.Training:
        training_copy = self._compiled.training_copy
        self._compiled.restart(training_copy.weights, [weight.value for weight in self._build_initial_cnn().weights])
        training_copy.optimizer.learning_rate = rate
        schedule = replace(self.sweep.recipe.schedule, learning_rate=rate)
        return training_loop.fit_compiled(
            training_copy, self.train, self.val, schedule, checkpoint=checkpoint, on_epoch_end=on_epoch_end
        )

    def _build_initial_cnn(self) -> keras.Model:
        sweep = self.sweep
        determinism.make_repeatable(sweep.recipe.schedule.seed, deterministic=sweep.deterministic)
        return cnn.build(classes=len(classes_of(sweep.splits)), **vars(sweep.recipe.architecture))

    @cached_property
    def _compiled(self) -> CompiledTraining:
        keras.utils.clear_session()  # this process may have run a trial before
        schedule = self.sweep.recipe.schedule
        training_copy = fused_layers.fuse(self._build_initial_cnn(), schedule.dtype_policy, for_training=True)
        return CompiledTraining(training_copy, schedule, batches.steps(len(self.train.labels), schedule.batch_size))


def result_file(checkpoint_dir: Path, rate: float) -> Path:
    """The file with the rows of a finished rate."""
    return checkpoint_dir / f"rate_{rate_name(rate)}.csv"


def checkpoint_file(checkpoint_dir: Path, rate: float) -> Path:
    """The checkpoint of an unfinished rate."""
    return checkpoint_dir / f"epochs_{rate_name(rate)}"


def delete_checkpoints(checkpoint_dir: Path, rate: float) -> None:
    """Delete the checkpoints of a finished rate: 0.8 GB for the CNN at 256 px."""
    for old in checkpoint_dir.glob(f"{checkpoint_file(checkpoint_dir, rate).name}.*"):
        old.unlink()


def create_runner(engine: str) -> Callable[..., SweepResult]:
    """run_locally, or its counterpart for a value of `base.engine`.

    All give the same table: bit for bit with equally many threads, otherwise up to rounding.

    Raises:
        UserError: the engine's library is not installed.
    """
    if engine == "ray":
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.training import ray_sweep  # noqa: PLC0415 - an extra

        connection.require_ray()
        return ray_sweep.run_sweep
    return run_locally


def run_locally(job: Sweep, *, checkpoint_dir: Path, on_epoch_end: Callable[[pd.DataFrame], None]) -> SweepResult:
    """Train the CNN at each rate, one after the other in this process; so `prune` has no effect.

    Args:
        checkpoint_dir: for finished rates and epochs; the sweep resumes from what is there.
        on_epoch_end: called after every epoch with the table so far.
    """
    train, val, cache = load_pictures(job.splits, job.root, job.recipe.architecture.image_size, job.recipe.cache)
    trials = Trials(job, train, val)
    tables: list[pd.DataFrame] = []
    for rate in job.rates:
        file = result_file(checkpoint_dir, rate)
        if not file.is_file():

            def report_history(history: pd.DataFrame, rate: float = rate) -> None:
                on_epoch_end(pd.concat([*tables, sweep_table.rate_rows(rate, history)], ignore_index=True))

            trained = trials.fit(rate, checkpoint=checkpoint_file(checkpoint_dir, rate), on_epoch_end=report_history)
            logger.info("learning rate %g: %s", rate, trained.describe())
            write_csv(file, sweep_table.rate_rows(rate, trained.history).assign(seconds=trained.seconds))
            delete_checkpoints(checkpoint_dir, rate)
        tables.append(read_csv(file))
    return SweepResult(pd.concat(tables, ignore_index=True), cache)
