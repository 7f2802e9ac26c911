"""Embedding: the vector of every image from a frozen backbone, computed once, so that heads train in seconds.

This is the loop of one process; realwaste.embedding.ray_extraction runs it on every core of a cluster.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np
from rich.progress import track

from realwaste.core.errors import UserError
from realwaste.core.log import console, is_quiet
from realwaste.embedding.embeddings import Embeddings, Vectors
from realwaste.images.reader import ImageTransform, prefetch_batches
from realwaste.runtime import array_file, determinism, inference_engine, network_bytes
from realwaste.runtime.inference_engine import Network

CHECKPOINT_EVERY = 16  # batches


@dataclass(frozen=True)
class Job:
    """Which images to embed, and how.

    Attributes:
        paths: of the images, relative to `root`.
        dtype_policy: of Keras, in which the backbone computes.
        inference: the inference engine: openvino or tensorflow.
        deterministic: see realwaste.runtime.determinism.make_repeatable.
        view: the augmented view to embed of each image; None for the unchanged image.
    """

    root: Path
    paths: Sequence[str]
    dtype_policy: str
    inference: str
    image_size: int
    batch_size: int
    deterministic: bool
    view: ImageTransform | None = None


def embed(
    network: Network,
    root: Path,
    paths: Sequence[str],
    *,
    image_size: int,
    checkpoint_dir: Path | None = None,
    readers: int | None = None,
    view: ImageTransform | None = None,
) -> Embeddings:
    """Compute the vector of every image root/<path>, while threads decode the next images.

    Args:
        network: uint8 RGB images in, one vector each out.
        checkpoint_dir: vectors are written there every few batches, and reused if the job was stopped.
        readers: threads that decode; one per core by default.
        view: see Job.
    """
    vectors, batch_size = np.empty((len(paths), *network.shape), np.float32), network.batch_size
    stop, seconds = _restore(vectors, checkpoint_dir)
    start, start_time = stop, time.perf_counter() - seconds
    image_batches = prefetch_batches([root / path for path in paths[stop:]], image_size, batch_size, readers, view)
    total = math.ceil((len(paths) - stop) / batch_size)
    for pixels in track(image_batches, "embedding", total=total, console=console, disable=is_quiet()):
        vectors[stop : stop + len(pixels)] = network(pixels)
        stop += len(pixels)
        seconds = time.perf_counter() - start_time
        if checkpoint_dir is not None and (stop - start >= CHECKPOINT_EVERY * batch_size or stop == len(paths)):
            array_file.write(part_file(checkpoint_dir, start), [vectors[start:stop], np.array(seconds)])
            start = stop
    if not np.isfinite(vectors).all():
        raise UserError("The backbone must give finite vectors.", "Check its weights file and its preprocessing.")
    return Embeddings(np.asarray(paths, dtype=np.str_), vectors, seconds)


def _restore(vectors: Vectors, checkpoint_dir: Path | None) -> tuple[int, float]:
    """Fill in the first rows from `checkpoint_dir`; the number of rows, and the seconds that they took."""
    count, seconds = 0, 0.0
    while checkpoint_dir is not None and (part := array_file.read(part_file(checkpoint_dir, count))) is not None:
        rows, seconds_so_far = part
        vectors[count : count + len(rows)] = rows
        count, seconds = count + len(rows), float(seconds_so_far)
    return count, seconds


def part_file(checkpoint_dir: Path, start: int) -> Path:
    """The checkpoint of consecutive rows from `start` on."""
    return checkpoint_dir / f"rows_{start:09d}.npy"


def create_embedder(engine: str, model: keras.Model) -> Callable[..., Embeddings]:
    """The function `embed(job, checkpoint_dir=…)` of an engine of `base.engine`; it compiles the model once.

    All engines give the vectors in the order of job.paths, and the same bits on the same kind of machine. Finished
    vectors are written to `checkpoint_dir`, and reused if the job was stopped. The result may read vectors from there:
    save it before deleting the folder.

    Args:
        engine: local, in this process; or ray, on a cluster.
        model: RGB images, uint8 (n, image_size, image_size, 3), in; one float32 vector each out.

    Raises:
        UserError: Ray is not installed.
    """
    if engine == "ray":
        from realwaste.cluster import connection  # noqa: PLC0415 - an extra
        from realwaste.embedding import ray_extraction  # noqa: PLC0415

        connection.require_ray()
        return partial(ray_extraction.embed, cache(partial(network_bytes.serialize, model)))
    return partial(_embed_job, cache(partial(inference_engine.compile_network, model)))


def _embed_job(compile_network: Callable[..., Network], job: Job, *, checkpoint_dir: Path) -> Embeddings:
    # The seed has no effect: a frozen backbone is not random.
    determinism.make_repeatable(0, deterministic=job.deterministic)
    network = compile_network(job.batch_size, policy=job.dtype_policy, engine=job.inference)
    return embed(network, job.root, job.paths, image_size=job.image_size, checkpoint_dir=checkpoint_dir, view=job.view)
