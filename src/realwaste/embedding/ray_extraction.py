"""Embedding through Ray Data: each actor loads the model once, and reads, decodes and embeds parts of the image list.

A part is a range of rows and is identified by its first row. When it arrives, it is written to a checkpoint of that
name; a part that is computed twice, because a node was lost, overwrites itself. The actors also read the images:
separate reading tasks could wait forever for a core that the actors occupy.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from realwaste.cluster import actor_pool, connection, waiting, worker_environment
from realwaste.core.errors import UserError
from realwaste.core.log import console, is_quiet, logger
from realwaste.embedding import extraction
from realwaste.embedding.embeddings import Embeddings
from realwaste.embedding.extraction import Job
from realwaste.images.array_shards import Shards
from realwaste.runtime import array_file, determinism, network_bytes
from realwaste.runtime.inference_engine import Network

# Enough for all cores to finish at about the same time.
_PARTS_PER_ACTOR = 8


@dataclass(frozen=True)
class ActorTask:
    """What an actor needs.

    Attributes:
        network: a reference to what network_bytes.serialize returned, in Ray's object store.
        job: without its paths.
        versions: of the libraries of the sender.
    """

    network: Any
    job: Job
    versions: dict[str, str] = field(default_factory=determinism.library_versions)


def embed(serialize: Callable[[str], tuple[bytes, ...]], job: Job, *, checkpoint_dir: Path) -> Embeddings:
    """Embed on a cluster; see realwaste.embedding.extraction.create_embedder.

    job.root must be the same folder on every node, on a shared file system.

    Args:
        serialize: gives the network as bytes for an inference engine.

    Raises:
        UserError: no cluster; a node that does not see the images or has other libraries; no result for a long time.
    """
    counts, seconds = _restore(checkpoint_dir)
    paths = job.paths
    start_time = time.perf_counter() - seconds
    with connection.connected():
        actors = connection.count_cpus()
        parts = _missing_parts(len(paths), counts, _rows_per_part(len(paths), job.batch_size, actors))
        if parts:
            import ray  # noqa: PLC0415 - an extra

            task = ActorTask(ray.put(serialize(job.inference)), replace(job, root=job.root.absolute(), paths=()))
            results = _results(task, [(start, list(paths[start:stop])) for start, stop in parts], actors)
            nodes = len(connection.cores_per_node())
            logger.info("%d parts of the images on %d cores of %d nodes", len(parts), actors, nodes)
            images_per_node: dict[str, int] = {}
            progress = track(
                waiting.with_timeout(results, "vectors"), "embedding", len(parts), console=console, disable=is_quiet()
            )
            for start, vectors, node in progress:
                seconds = time.perf_counter() - start_time
                array_file.write(extraction.part_file(checkpoint_dir, start), [vectors, np.array(seconds)])
                counts[start] = len(vectors)
                images_per_node[node] = images_per_node.get(node, 0) + len(vectors)
            by_node = ", ".join(f"{node[:8]} {count}" for node, count in sorted(images_per_node.items()))
            logger.info("images per node: %s", by_node)
    _require_all(counts, len(paths))
    starts = sorted(counts)
    files = [extraction.part_file(checkpoint_dir, start) for start in starts]
    all_vectors = Shards(files, [counts[start] for start in starts], _read_vectors)
    return Embeddings(np.asarray(paths, dtype=np.str_), all_vectors, seconds)


class EmbeddingActor:
    """A Ray actor. It loads the model with its first part, so that an error of loading is returned as a result."""

    def __init__(self, task: ActorTask) -> None:
        self._task = task
        self._network: Network | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (start,), (joined_paths,) = batch["start"].tolist(), batch["paths"].tolist()
        vectors, error_text = np.zeros((0, 0), np.float32), ""
        try:
            vectors = self._embed(joined_paths.split("\0"))
        except UserError as error:
            error_text = worker_environment.error_to_text(error)
        return {
            "start": [start],
            "width": [vectors.shape[1]],
            "vectors": [vectors.tobytes()],
            "node": [worker_environment.node_id()],
            "error": [error_text],
        }

    def _embed(self, paths: list[str]) -> NDArray[np.float32]:
        job = self._task.job
        if self._network is None:
            self._network = self._load_network()
        embeddings = extraction.embed(
            self._network, job.root, paths, image_size=job.image_size, readers=1, view=job.view
        )
        return np.asarray(embeddings.vectors)

    def _load_network(self) -> Network:
        import ray  # noqa: PLC0415 - an extra

        task, job = self._task, self._task.job
        worker_environment.require_folders(job.root)
        worker_environment.match_sender(task.versions, seed=0, deterministic=job.deterministic, threads=1)
        return network_bytes.deserialize(
            ray.get(task.network), job.inference, batch_size=job.batch_size, policy=job.dtype_policy, threads=1
        )


def _results(
    task: ActorTask, parts: Sequence[tuple[int, list[str]]], actors: int
) -> Iterator[tuple[int, NDArray[np.float32], str]]:
    """The first row, the vectors and the node of each part, as soon as it is computed."""
    # Joined by NUL, which no path contains: Ray returns lists of strings as arrays of objects.
    items = [{"start": start, "paths": "\0".join(paths)} for start, paths in parts]
    for row in actor_pool.map_parts(EmbeddingActor, task, items, actors):
        vectors = np.frombuffer(row["vectors"], np.float32).reshape(-1, row["width"])
        yield row["start"], vectors, row["node"]


def _rows_per_part(count: int, batch_size: int, actors: int) -> int:
    """A multiple of the batch size, so that on any cluster the same images share a batch as in one process."""
    batches = math.ceil(count / batch_size)
    return batch_size * min(extraction.CHECKPOINT_EVERY, max(1, math.ceil(batches / (actors * _PARTS_PER_ACTOR))))


def _missing_parts(count: int, finished: dict[int, int], rows: int) -> list[tuple[int, int]]:
    """The parts still to compute, (first row, row after the last); `finished` maps first rows to numbers of rows."""
    parts, next_row = [], 0
    for start in [*sorted(finished), count]:
        parts += [(first, min(first + rows, start)) for first in range(next_row, start, rows)]
        next_row = start + finished.get(start, 0)
    return parts


def _restore(checkpoint_dir: Path) -> tuple[dict[int, int], float]:
    """The undamaged parts in `checkpoint_dir`, {first row: number of rows}, and the seconds that they took."""
    counts, seconds = {}, 0.0
    for file in sorted(checkpoint_dir.glob("rows_*.npy")):
        if (part := array_file.read(file)) is not None:
            counts[int(file.stem.removeprefix("rows_"))] = len(part[0])
            seconds = max(seconds, float(part[1]))
    return counts, seconds


def _require_all(counts: dict[int, int], expected: int) -> None:
    starts = sorted(counts)
    if [0, *accumulate(counts[start] for start in starts)] != [*starts, expected]:
        raise RuntimeError(f"Ray delivered rows {sorted(counts.items())}, which are not {expected} consecutive rows")


def _read_vectors(file: Path) -> NDArray[np.float32]:
    part = array_file.read(file)
    if part is None:
        raise RuntimeError(f"{file} was damaged while the stage ran")
    return part[0]
