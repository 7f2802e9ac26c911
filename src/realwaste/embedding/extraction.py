"""Embed many images: `local` with one model in this process, `ray` with one on every core of a cluster."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import keras

from realwaste.embedding import local_extraction
from realwaste.embedding.embeddings import Embeddings
from realwaste.embedding.local_extraction import Job
from realwaste.runtime import determinism, inference_engine, network_bytes
from realwaste.runtime.inference_engine import Network


class Embed(Protocol):
    """Every engine gives the same vectors in the order of job.paths: to the bit where it computes on like machines."""

    def __call__(self, job: Job, *, kept: Path) -> Embeddings:
        """Push every image through the model.

        Args:
            kept: a folder to leave finished vectors in, and to go on from if there are some. The vectors of the result
                may lie there: save them before it goes.
        """


def of(engine: str, model: keras.Model) -> Embed:
    """The implementation by its name in `base.engine`, for a model that it prepares once.

    Args:
        model: RGB images, uint8 (n, image_size, image_size, 3), in; one float32 vector each out.

    Raises:
        UserError: the engine's library is not installed.
    """
    if engine == "ray":
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.embedding import ray_extraction  # noqa: PLC0415

        connection.require()
        return partial(ray_extraction.embed, cache(partial(network_bytes.packed, model)))
    return partial(_here, cache(partial(inference_engine.network, model)))


def _here(network: Callable[..., Network], job: Job, *, kept: Path) -> Embeddings:
    # The seed has no effect: a frozen backbone draws no number.
    determinism.make_repeatable(0, deterministic=job.deterministic)
    own = network(job.batch_size, policy=job.dtype_policy, engine=job.inference)
    return local_extraction.embed(own, job.root, job.paths, image_size=job.image_size, kept=kept, view=job.view)
