"""The learning-rate sweep: one rate after the other in this process, or side by side on a Ray cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pandas as pd

from realwaste.core.files import read_csv, write_csv
from realwaste.core.log import logger
from realwaste.training import sweep_table, sweep_trials
from realwaste.training.samples import load_pictures
from realwaste.training.sweep_trials import Sweep, SweepResult


class SweepRunner(Protocol):
    """All engines give the same table: bit for bit with equally many threads, otherwise up to rounding."""

    def __call__(self, job: Sweep, *, checkpoint_dir: Path, live: Callable[[pd.DataFrame], None]) -> SweepResult:
        """Train the CNN at each rate.

        Args:
            checkpoint_dir: for finished rates and epochs; the sweep resumes from what is there.
            live: called after every epoch with the table so far.
        """


def create_runner(engine: str) -> SweepRunner:
    """The runner for a value of `base.engine`.

    Raises:
        UserError: the engine's library is not installed.
    """
    if engine == "ray":
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.training import ray_sweep  # noqa: PLC0415 - an extra

        connection.require_ray()
        return ray_sweep.run_sweep
    return run_locally


def run_locally(job: Sweep, *, checkpoint_dir: Path, live: Callable[[pd.DataFrame], None]) -> SweepResult:
    """A SweepRunner in this process. `prune` has no effect: it needs rates that are tried side by side."""
    train, val, cache = load_pictures(job.splits, job.root, job.recipe.architecture.image_size, job.recipe.cache)
    trials = sweep_trials.Trials(job, train, val)
    tables: list[pd.DataFrame] = []
    for rate in job.rates:
        result_file = sweep_trials.result_file(checkpoint_dir, rate)
        if not result_file.is_file():

            def show(history: pd.DataFrame, rate: float = rate) -> None:
                live(pd.concat([*tables, sweep_table.rate_rows(rate, history)], ignore_index=True))

            trained = trials.fit(rate, checkpoint=sweep_trials.checkpoint_file(checkpoint_dir, rate), live=show)
            logger.info("learning rate %g: %s", rate, trained.describe())
            write_csv(result_file, sweep_table.rate_rows(rate, trained.history).assign(seconds=trained.seconds))
            sweep_trials.delete_checkpoints(checkpoint_dir, rate)
        tables.append(read_csv(result_file))
    return SweepResult(pd.concat(tables, ignore_index=True), cache)
