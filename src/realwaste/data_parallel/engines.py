"""Who trains the CNN: this process, or workers on a Ray cluster that divide each batch among them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras
import pandas as pd

from realwaste.training import fitting, result, samples
from realwaste.training.samples import Samples


class Pictures(Protocol):
    """Makes the samples that a CNN is trained on and validated with."""

    def __call__(self, splits: pd.DataFrame, root: Path, size: int, cache: str) -> tuple[Samples, Samples, str]:
        """Train and validation pictures as `Fit` wants them, and the cache they are in, as of samples.pictures."""


class Fit(Protocol):
    """Trains the CNN."""

    def __call__(
        self,
        model: keras.Model,
        train: Samples,
        val: Samples,
        schedule: fitting.Schedule,
        *,
        checkpoint: Path | None = None,
        live: Callable[[pd.DataFrame], None] | None = None,
    ) -> result.Training:
        """As realwaste.training.fitting.fit: the same batches in the same order, one step each, whoever computes them.

        An engine may go on from the checkpoint of another.
        """


@dataclass(frozen=True)
class Fitting:
    """The two halves of an engine, which belong together: how pictures travel, and who trains on them."""

    pictures: Pictures
    fit: Fit


def of(engine: str) -> Fitting:
    """The engine by its name in `base.engine`, local or ray.

    Raises:
        UserError: Ray is not installed.
    """
    if engine == "ray":
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.data_parallel import on_ray  # noqa: PLC0415 - an extra

        connection.require()
        return Fitting(on_ray.pictures, on_ray.fit)
    return Fitting(samples.pictures, fitting.fit)
