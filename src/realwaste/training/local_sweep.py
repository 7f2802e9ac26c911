"""A learning-rate sweep in this process: one rate after the other, on the same decoded pictures."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from realwaste.core.files import read_csv, write_csv
from realwaste.core.log import logger
from realwaste.training import sweep_table, sweep_trials
from realwaste.training.samples import pictures
from realwaste.training.sweep_trials import Sweep, Tried


def try_all(job: Sweep, *, kept: Path, live: Callable[[pd.DataFrame], None]) -> Tried:
    """As realwaste.training.sweep.Try; `prune`, which needs rates side by side, has no effect."""
    train, val, cache = pictures(job.splits, job.root, job.recipe.architecture.image_size, job.recipe.cache)
    own = sweep_trials.Trials(job, train, val)
    done: list[pd.DataFrame] = []
    for rate in job.rates:
        finished = sweep_trials.finished(kept, rate)
        if not finished.is_file():

            def show(history: pd.DataFrame, rate: float = rate) -> None:
                live(pd.concat([*done, sweep_table.rows(rate, history)], ignore_index=True))

            trained = own.fit(rate, checkpoint=sweep_trials.checkpoint(kept, rate), live=show)
            logger.info("learning rate %g: %s", rate, trained.line())
            write_csv(finished, sweep_table.rows(rate, trained.history).assign(seconds=trained.seconds))
            sweep_trials.clear(kept, rate)
        done.append(read_csv(finished))
    return Tried(pd.concat(done, ignore_index=True), cache)
