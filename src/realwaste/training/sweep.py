"""Try many learning rates: `local` one after the other in this process, `ray` side by side on a cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pandas as pd

from realwaste.training import local_sweep
from realwaste.training.sweep_trials import Sweep, Tried


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
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.training import ray_sweep  # noqa: PLC0415 - an extra

        connection.require_ray()
        return ray_sweep.try_all
    return local_sweep.try_all
