"""Trials of a learning-rate sweep: the CNN at each rate, from the same weights, on the same batches in one order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from realwaste.compute import repeatable
from realwaste.dataset.labels import classes_of
from realwaste.network import cnn
from realwaste.sweep.rates import named
from realwaste.training import fitting
from realwaste.training.samples import Samples


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
    schedule: fitting.Schedule
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


def fit(
    sweep: Sweep,
    rate: float,
    train: Samples,
    val: Samples,
    *,
    checkpoint: Path,
    live: Callable[[pd.DataFrame], None] | None = None,
) -> fitting.Training:
    """Train the CNN at one rate; checkpoint and live as of realwaste.training.fitting.fit."""
    keras.utils.clear_session()  # else every rate keeps the memory of those before it
    repeatable.make_repeatable(sweep.schedule.seed, deterministic=sweep.deterministic)
    model = cnn.build(sweep.image_size, len(classes_of(sweep.splits)), **sweep.network)
    schedule = replace(sweep.schedule, learning_rate=rate)
    return fitting.fit(model, train, val, schedule, checkpoint=checkpoint, live=live)


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
