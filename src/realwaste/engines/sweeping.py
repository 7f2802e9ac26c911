"""Try many learning rates: `local` one after the other in this process, `ray` side by side on a cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from realwaste import sweep, trials
from realwaste.atomic import write_csv
from realwaste.errors import UserError
from realwaste.log import logger
from realwaste.samples import pictures
from realwaste.tables import read_csv
from realwaste.trials import Sweep


@dataclass(frozen=True)
class Tried:
    """What came out.

    Attributes:
        table: sweep.COLUMNS and `seconds` of the rate, in the order of the rates.
        cache: where the decoded pictures waited.
    """

    table: pd.DataFrame
    cache: str


class Try(Protocol):
    """Every engine gives the same table: to the bit where a trial has as many threads, else but for rounding."""

    def __call__(self, job: Sweep, *, kept: Path, live: Callable[[pd.DataFrame], None]) -> Tried:
        """Train the CNN at each rate.

        Args:
            kept: a folder for finished rates and epochs, to go on from if there are some.
            live: is given the table so far after every epoch.
        """


def of(engine: str) -> Try:
    """The implementation by its name in `base.engine`.

    Raises:
        UserError: the engine's library is not installed.
    """
    if engine == "ray":
        from realwaste.on_ray import cluster, sweeping  # noqa: PLC0415 - an extra

        cluster.require()
        return sweeping.try_all
    return _here


def _here(job: Sweep, *, kept: Path, live: Callable[[pd.DataFrame], None]) -> Tried:
    if job.prune:
        raise UserError(
            "lr_sweep.prune needs rates that are tried side by side.", "Set base.engine=ray, or lr_sweep.prune=false."
        )
    train, val, cache = pictures(job.splits, job.root, job.image_size, job.cache)
    done: list[pd.DataFrame] = []
    for rate in job.rates:
        finished = trials.finished(kept, rate)
        if not finished.is_file():

            def show(history: pd.DataFrame, rate: float = rate) -> None:
                live(pd.concat([*done, sweep.rows(rate, history)], ignore_index=True))

            trained = trials.fit(job, rate, train, val, checkpoint=trials.checkpoint(kept, rate), live=show)
            logger.info("learning rate %g: %s", rate, trained.line())
            write_csv(finished, sweep.rows(rate, trained.history).assign(seconds=trained.seconds))
            trials.clear(kept, rate)
        done.append(read_csv(finished))
    return Tried(pd.concat(done, ignore_index=True), cache)
