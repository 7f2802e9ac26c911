"""Embed many images with the engine that `base.engine` names: `local`, in this process, or `ray`, on a cluster."""

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


class Embedder(Protocol):
    """An engine. All give the vectors in the order of job.paths, and the same bits on the same kind of machine."""

    def __call__(self, job: Job, *, checkpoint_dir: Path) -> Embeddings:
        """Compute the vector of every image.

        Args:
            checkpoint_dir: finished vectors are written there, and reused if the job was stopped. The result may
                read vectors from it: save the result before deleting the folder.
        """


def create_embedder(engine: str, model: keras.Model) -> Embedder:
    """The engine of a name in `base.engine`, for a model, which it compiles once.

    Args:
        model: RGB images, uint8 (n, image_size, image_size, 3), in; one float32 vector each out.

    Raises:
        UserError: Ray is not installed.
    """
    if engine == "ray":
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.embedding import ray_extraction  # noqa: PLC0415

        connection.require_ray()
        return partial(ray_extraction.embed, cache(partial(network_bytes.serialize, model)))
    return partial(_embed_locally, cache(partial(inference_engine.compile_network, model)))


def _embed_locally(compile_network: Callable[..., Network], job: Job, *, checkpoint_dir: Path) -> Embeddings:
    # The seed has no effect: a frozen backbone is not random.
    determinism.make_repeatable(0, deterministic=job.deterministic)
    network = compile_network(job.batch_size, policy=job.dtype_policy, engine=job.inference)
    return local_extraction.embed(
        network, job.root, job.paths, image_size=job.image_size, checkpoint_dir=checkpoint_dir, view=job.view
    )
