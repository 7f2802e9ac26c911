"""A worker's side of a training on Ray, in a process of its own; its sys.argv is Ray's.

Ray Train's controller imports this as well, and need not wait for TensorFlow: the functions import what takes long.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realwaste.cluster import worker
from realwaste.core.errors import UserError
from realwaste.training import pixel_cache
from realwaste.training.pixel_cache import DecodedOnRead

if TYPE_CHECKING:
    from realwaste.data_parallel.loop import Outcome, Rows, Work
    from realwaste.training.samples import Samples

_BEAT_S = 0.5


class DecodedOnWorker(DecodedOnRead):
    """Pictures that are decoded where they are used, and kept there in `cache` if they fit."""

    def __init__(self, files: list[Path], size: int, cache: str) -> None:
        super().__init__(files, size)
        self.cache = cache


def work(told: dict[str, Any]) -> None:
    """Train, and tell the progress actor of it: what Ray Train runs in each worker.

    Args:
        told: by realwaste.data_parallel.on_ray: given (a reference to work and samples), progress, versions, threads.
    """
    import ray  # noqa: PLC0415

    progress = told["progress"]
    progress.beat.remote()
    try:
        outcome = _trained(ray.get(told["given"][0]), progress, told["versions"], told["threads"])
    except UserError as reason:
        ray.get(progress.refuse.remote(worker.packed(reason)))
        raise
    if outcome is not None:
        ray.get(progress.end.remote(vars(outcome)))


def _trained(
    given: "tuple[Work, Samples, Samples]", progress: Any, versions: dict[str, str], threads: int
) -> "Outcome | None":
    """The outcome, of the first worker; None of the others."""
    import tensorflow as tf  # noqa: PLC0415

    from realwaste.data_parallel import loop  # noqa: PLC0415

    work, train, val = given
    worker.match_sender(versions, seed=work.schedule.seed, deterministic=True, threads=threads)
    # Before any operation, which the workers could else not join.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    check_files(work, train)
    first = strategy.cluster_resolver.task_id == 0
    told = [0.0]

    def beat() -> None:
        if time.monotonic() - told[0] > _BEAT_S:
            told[0] = time.monotonic()
            progress.beat.remote()

    def live(rows: "Rows") -> None:
        if first:
            progress.epoch.remote(rows)

    outcome = loop.fit(work, *kept(train, val), strategy, beat=beat, live=live)
    return outcome if first else None


def check_files(work: "Work", train: "Samples") -> None:
    """UserError where this node sees neither the checkpoint's folder nor the first picture."""
    needed = [work.checkpoint.parent] if work.checkpoint else []
    if isinstance(train.inputs, DecodedOnRead):
        needed += train.inputs.files[:1]
    if missing := [path for path in needed if not path.exists()]:
        raise UserError(
            "Every node of the cluster must have the checkout at the same path.",
            "Run from a file system that all nodes share.",
            f"{missing[0]} is not on a node",
        )


def kept(train: "Samples", val: "Samples") -> "tuple[Samples, Samples]":
    """The same samples, pictures with the cache that this node has room for."""
    files = [part.inputs for part in (train, val) if isinstance(part.inputs, DecodedOnWorker)]
    if not files:
        return train, val
    folder = Path(tempfile.gettempdir())
    used = pixel_cache.choose(files[0].cache, sum(len(part.files) for part in files), files[0].size, folder)
    if used == "none":
        return train, val
    own = [
        replace(part, inputs=pixel_cache.DecodedOnce(part.inputs.files, part.inputs.size, used, folder))
        if isinstance(part.inputs, DecodedOnWorker)
        else part
        for part in (train, val)
    ]
    return own[0], own[1]
