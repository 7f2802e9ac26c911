"""Embed many images: `local` with one model in this process, `ray` with one on every core of a cluster."""

from pathlib import Path
from typing import Protocol

import keras

from realwaste.compute import fused, repeatable
from realwaste.embedding import local
from realwaste.embedding.embeddings import Embeddings
from realwaste.embedding.local import Job


class Embed(Protocol):
    """Every engine gives the same vectors in the order of job.paths: to the bit where it computes on like machines."""

    def __call__(self, model: keras.Model, job: Job, *, kept: Path) -> Embeddings:
        """Push every image through `model`'s twin.

        Args:
            model: RGB images, uint8 (n, image_size, image_size, 3), in; one float32 vector each out.
            kept: a folder to leave finished vectors in, and to go on from if there are some. The vectors of the result
                may lie there: save them before it goes.
        """


def of(engine: str) -> Embed:
    """The implementation by its name in `base.engine`.

    Raises:
        UserError: the engine's library is not installed.
    """
    if engine == "ray":
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.embedding import on_ray  # noqa: PLC0415

        connection.require()
        return on_ray.embed
    return _here


def _here(model: keras.Model, job: Job, *, kept: Path) -> Embeddings:
    # The seed has no effect: a frozen backbone draws no number.
    repeatable.make_repeatable(0, deterministic=job.deterministic)
    twin = fused.twin(model, job.dtype_policy)
    return local.embed(
        twin, job.root, job.paths, image_size=job.image_size, batch_size=job.batch_size, kept=kept, view=job.view
    )
