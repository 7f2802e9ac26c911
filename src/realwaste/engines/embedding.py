"""Embed many images: `local` with one model in this process, `ray` with one on every core of a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import keras

from realwaste import embedding, fused, training
from realwaste.embedding import Embeddings


class Embed(Protocol):
    """Every engine gives the same vectors in the order of `paths`: to the bit where it computes on like machines."""

    def __call__(
        self,
        model: keras.Model,
        root: Path,
        paths: Sequence[str],
        *,
        dtype_policy: str,
        image_size: int,
        batch_size: int,
        deterministic: bool,
        kept: Path,
    ) -> Embeddings:
        """Push every image of root/<path> through `model`'s twin (realwaste.fused) in `dtype_policy`.

        Args:
            model: RGB images, uint8 (n, image_size, image_size, 3), in; one float32 vector each out.
            batch_size: images that go through it at once.
            deterministic: as realwaste.training.make_repeatable has it.
            kept: a folder to leave finished vectors in, and to go on from if there are some. The vectors of the result
                may lie there: save them before it goes.
        """


def of(engine: str) -> Embed:
    """The implementation by its name in `base.engine`.

    Raises:
        UserError: the engine's library is not installed.
    """
    if engine == "ray":
        from realwaste.on_ray import cluster  # noqa: PLC0415 - an extra
        from realwaste.on_ray import embedding as on_ray  # noqa: PLC0415

        cluster.require()
        return on_ray.embed
    return _here


def _here(
    model: keras.Model,
    root: Path,
    paths: Sequence[str],
    *,
    dtype_policy: str,
    image_size: int,
    batch_size: int,
    deterministic: bool,
    kept: Path,
) -> Embeddings:
    # The seed has no effect: a frozen backbone draws no number.
    training.make_repeatable(0, deterministic=deterministic)
    twin = fused.twin(model, dtype_policy)
    return embedding.embed(twin, root, paths, image_size=image_size, batch_size=batch_size, kept=kept)
