"""Embedding through Ray Data: actors that hold the model once read, decode and embed parts of the list of images.

A part is a run of rows, and is known by its first one. It is written here, under that name, when it arrives; one that
comes twice, because its node was lost after it was computed, is the same part. Reading needs no tasks of its own, which
could wait for ever for a core that the actors have.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from realwaste.cluster import connection, waiting, worker_environment
from realwaste.core.errors import UserError
from realwaste.core.log import console, is_quiet, logger
from realwaste.embedding import local_extraction
from realwaste.embedding.embeddings import Embeddings
from realwaste.embedding.local_extraction import Job
from realwaste.images.array_shards import Shards
from realwaste.runtime import array_file, determinism, network_bytes
from realwaste.runtime.inference_engine import Network
from realwaste.runtime.network_bytes import NetworkBytes

# Of a core: half of the cluster's nodes may be lost before an actor finds no place. Each computes with one thread.
_CORES = 0.5
# So that the last parts end at about the same time on all cores.
_PARTS_AN_ACTOR = 8


@dataclass(frozen=True)
class Work:
    """What an actor needs: a NetworkBytes in Ray's store, and a job without its paths."""

    network: Any
    job: Job
    versions: dict[str, str] = field(default_factory=determinism.library_versions)


def embed(network: Callable[[str], NetworkBytes], job: Job, *, checkpoint_dir: Path) -> Embeddings:
    """As realwaste.embedding.extraction.Embedder, of a network packed for an engine.

    job.root must be the same folder on every node: a shared file system.

    Raises:
        UserError: no cluster; a node that does not see it or has other libraries; nothing came for a long time.
    """
    counts, seconds = _restore(checkpoint_dir)
    paths = job.paths
    began = time.perf_counter() - seconds
    with connection.connected():
        actors = connection.count_cpus()
        parts = _parts(len(paths), counts, _part_rows(len(paths), job.batch_size, actors))
        if parts:
            import ray  # noqa: PLC0415 - an extra

            work = Work(ray.put(network(job.inference)), replace(job, root=job.root.absolute(), paths=()))
            results = _results(work, [(start, list(paths[start:stop])) for start, stop in parts], actors)
            logger.info("%d parts of the images on %d cores of %d nodes", len(parts), actors, len(connection.cores_per_node()))
            seen: dict[str, int] = {}
            shown = track(
                waiting.with_timeout(results, "vectors"), "embedding", len(parts), console=console, disable=is_quiet()
            )
            for start, vectors, node in shown:
                array_file.write(_file(checkpoint_dir, start), [vectors, np.array(time.perf_counter() - began)])
                counts[start] = len(vectors)
                seen[node] = seen.get(node, 0) + len(vectors)
            logger.info("images a node: %s", ", ".join(f"{node[:8]} {count}" for node, count in sorted(seen.items())))
    _require_all(counts, len(paths))
    starts = sorted(counts)
    gathered = Shards([_file(checkpoint_dir, start) for start in starts], [counts[start] for start in starts], _rows)
    return Embeddings(np.asarray(paths, dtype=np.str_), gathered, _restore(checkpoint_dir)[1])


class EmbeddingActor:
    """An actor. It loads the model with its first part, so that what goes wrong then is a result of that part."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._network: Network | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (start,), (listed,) = batch["start"].tolist(), batch["paths"].tolist()
        vectors, refused = np.zeros((0, 0), np.float32), ""
        try:
            vectors = self._embedded(listed.split("\0"))
        except UserError as error:
            refused = worker_environment.error_to_text(error)
        return {
            "start": [start],
            "width": [vectors.shape[1]],
            "vectors": [vectors.tobytes()],
            "node": [worker_environment.node_id()],
            "refused": [refused],
        }

    def _embedded(self, paths: list[str]) -> NDArray[np.float32]:
        job = self._work.job
        if self._network is None:
            self._network = self._start()
        found = local_extraction.embed(
            self._network, job.root, paths, image_size=job.image_size, readers=1, view=job.view
        )
        return np.asarray(found.vectors)

    def _start(self) -> Network:
        import ray  # noqa: PLC0415 - an extra

        work, job = self._work, self._work.job
        worker_environment.require_folders(job.root)
        worker_environment.match_sender(work.versions, seed=0, deterministic=job.deterministic, threads=1)
        return network_bytes.deserialize(ray.get(work.network), job.batch_size, job.dtype_policy, threads=1)


def _results(
    work: Work, parts: Sequence[tuple[int, list[str]]], actors: int
) -> Iterator[tuple[int, NDArray[np.float32], str]]:
    """First row, vectors and node of each part, in the order in which they are done."""
    import ray  # noqa: PLC0415 - an extra

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # NUL stands in no path; Ray's own lists of text come back as arrays of objects.
    items = [{"start": start, "paths": "\0".join(own)} for start, own in parts]
    # An actor that was lost with its node is started again elsewhere, and gets the parts that it had: Ray's default.
    computed = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        EmbeddingActor,
        fn_constructor_args=(work,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=_CORES,
    )
    for row in computed.iter_rows():
        if row["refused"]:
            raise worker_environment.error_from_text(row["refused"])
        vectors = np.frombuffer(row["vectors"], np.float32).reshape(-1, row["width"])
        yield row["start"], vectors, row["node"]


def _part_rows(count: int, batch_size: int, actors: int) -> int:
    """Rows of a part, whole batches: the same images share a batch as in one process, whatever the cluster."""
    batches = math.ceil(count / batch_size)
    return batch_size * min(local_extraction.KEEP_EVERY, max(1, math.ceil(batches / (actors * _PARTS_AN_ACTOR))))


def _parts(count: int, done: dict[int, int], rows: int) -> list[tuple[int, int]]:
    """What is to do: first row and the row after the last, where `done` has (first row: rows) of earlier runs."""
    parts, at = [], 0
    for start in [*sorted(done), count]:
        parts += [(first, min(first + rows, start)) for first in range(at, start, rows)]
        at = start + done.get(start, 0)
    return parts


def _restore(checkpoint_dir: Path) -> tuple[dict[int, int], float]:
    """The parts that lie whole in `checkpoint_dir`, (first row: rows), and the seconds of the runs that left them."""
    counts, seconds = {}, 0.0
    for file in sorted(checkpoint_dir.glob("rows_*.npy")):
        if (part := array_file.read(file)) is not None:
            counts[int(file.stem.removeprefix("rows_"))] = len(part[0])
            seconds = max(seconds, float(part[1]))
    return counts, seconds


def _require_all(counts: dict[int, int], expected: int) -> None:
    at = 0
    for start in sorted(counts):
        if start != at:
            break
        at += counts[start]
    if at != expected:
        raise RuntimeError(f"Ray delivered rows {sorted(counts.items())}, which are not {expected} in a row")


def _file(checkpoint_dir: Path, start: int) -> Path:
    return checkpoint_dir / f"rows_{start:09d}.npy"


def _rows(file: Path) -> NDArray[np.float32]:
    part = array_file.read(file)
    if part is None:
        raise RuntimeError(f"{file} was damaged while the stage ran")
    return part[0]
