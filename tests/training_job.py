"""One small training with either engine, here or as a process of its own that can be killed.

    python training_job.py ray OUT CHECKPOINT '{"epochs": 3}'

writes history and weights to OUT, and a line to standard output after each epoch.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from conftest import picture

from realwaste.compute import repeatable
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.data_parallel import engines, loop
from realwaste.network import cnn
from realwaste.network.augmentation import Augment
from realwaste.training import result
from realwaste.training.fitting import Schedule
from realwaste.training.samples import Samples

SIZE = 16


def samples(count: int) -> Samples:
    """Two classes that differ in brightness."""
    labels = np.arange(count) % 2
    pictures = np.stack([picture(index, SIZE, SIZE) // 4 + 120 * (index % 2) for index in range(count)])
    return Samples(pictures.astype(np.uint8), labels.astype(np.int64))


def schedule(**changed: Any) -> Schedule:
    return Schedule(**{"epochs": 4, "batch_size": 8, "learning_rate": 0.001, "shuffle": True, "seed": 1} | changed)


def model(**options: Any) -> keras.Model:
    """The same weights each time. Options: of cnn.build; `augment` as a mapping."""
    repeatable.make_repeatable(1, deterministic=True)
    if "augment" in options:
        options["augment"] = Augment(**options["augment"])
    return cnn.build(SIZE, 2, batch_norm_momentum=0.9, **options)


def run(
    engine: str,
    checkpoint: Path | None = None,
    live: Callable[[pd.DataFrame], None] | None = None,
    *,
    train: int = 41,
    val: int = 11,
    build: dict[str, Any] | None = None,
    **changed: Any,
) -> tuple[keras.Model, result.Training]:
    """41 images in batches of 8: the last batch has one row."""
    built = model(**build or {})
    fit = engines.of(engine).fit
    return built, fit(built, samples(train), samples(val), schedule(**changed), checkpoint=checkpoint, live=live)


def share(strategy: Any, *, train: int = 41, val: int = 11, build: dict[str, Any] | None = None, **changed: Any) -> Any:
    """What `run` gives, by one worker's side of the same training: its data_parallel.Outcome."""
    work = loop.work_of(model(**build or {}), schedule(**changed), None)
    return loop.fit(work, samples(train), samples(val), strategy)


def main(engine: str, out: str, checkpoint: str, changes: str) -> int:
    log.setup()
    try:
        built, trained = run(
            engine,
            Path(checkpoint),
            lambda history: print(f"epoch {len(history)}", flush=True),  # noqa: T201
            **json.loads(changes),
        )
    except UserError as error:
        log.logger.error("%s", error)
        return 1
    np.savez(out, *built.get_weights(), history=trained.history.to_numpy())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
