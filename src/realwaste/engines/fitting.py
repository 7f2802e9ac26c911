"""Who trains the CNN: this process, or workers on a Ray cluster that divide each batch among them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras
import pandas as pd

from realwaste import samples, training
from realwaste.samples import Samples


class Pictures(Protocol):
    def __call__(self, splits: pd.DataFrame, root: Path, size: int, cache: str) -> tuple[Samples, Samples, str]:
        """Train and validation pictures as `Fit` wants them, and the cache they are in, as of samples.pictures."""


class Fit(Protocol):
    def __call__(
        self,
        model: keras.Model,
        train: Samples,
        val: Samples,
        schedule: training.Schedule,
        *,
        checkpoint: Path | None = None,
        live: Callable[[pd.DataFrame], None] | None = None,
    ) -> training.Training:
        """As training.fit: the same batches in the same order, one step each, whoever computes them.

        An engine may go on from the checkpoint of another.
        """


@dataclass(frozen=True)
class Fitting:
    pictures: Pictures
    fit: Fit


def of(engine: str) -> Fitting:
    """That of base.engine: local or ray.

    Raises:
        UserError: Ray is not installed.
    """
    if engine == "ray":
        from realwaste.on_ray import cluster, fitting  # noqa: PLC0415 - an extra

        cluster.require()
        return Fitting(fitting.pictures, fitting.fit)
    return Fitting(samples.pictures, training.fit)
