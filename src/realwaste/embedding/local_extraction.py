"""A frozen backbone gives an image the same vector in every epoch: computed once, kept, trained on in seconds.

This is the loop of one process; realwaste.embedding.ray_extraction runs it on every core of a cluster.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from realwaste.core.errors import UserError
from realwaste.core.log import console, is_quiet
from realwaste.embedding.embeddings import Embeddings, Vectors
from realwaste.images.reader import Look, read_ahead
from realwaste.runtime import array_file
from realwaste.runtime.inference_engine import Network

KEEP_EVERY = 16  # batches


@dataclass(frozen=True)
class Job:
    """What is embedded, and how.

    Attributes:
        paths: of the images, below `root`.
        dtype_policy: in which the backbone computes.
        inference: what it is run by: openvino or tensorflow.
        batch_size: images that go through it at once.
        deterministic: as realwaste.runtime.determinism.make_repeatable has it.
        view: what is embedded of each image; None for the whole of it, as it is.
    """

    root: Path
    paths: Sequence[str]
    dtype_policy: str
    inference: str
    image_size: int
    batch_size: int
    deterministic: bool
    view: Look | None = None


def embed(
    network: Network,
    root: Path,
    paths: Sequence[str],
    *,
    image_size: int,
    kept: Path | None = None,
    readers: int | None = None,
    view: Look | None = None,
) -> Embeddings:
    """Push every image of root/<path> through `network` (uint8 RGB in, one vector out), decoding ahead of it.

    Args:
        kept: a folder to leave vectors in every few batches, and to go on from if there are some.
        readers: threads that decode; one a core without it.
        view: as of Job.
    """
    vectors, batch_size = np.empty((len(paths), *network.shape), np.float32), network.rows
    done, seconds = _restore(vectors, kept)
    start, began = done, time.perf_counter() - seconds
    pictures = read_ahead([root / path for path in paths[done:]], image_size, batch_size, readers, view)
    shown = math.ceil((len(paths) - done) / batch_size)
    for pixels in track(pictures, "embedding", total=shown, console=console, disable=is_quiet()):
        vectors[done : done + len(pixels)] = network(pixels)
        done += len(pixels)
        seconds = time.perf_counter() - began
        if kept is not None and (done - start >= KEEP_EVERY * batch_size or done == len(paths)):
            array_file.write(_part(kept, start), [vectors[start:done], np.array(seconds)])
            start = done
    if not np.isfinite(vectors).all():
        raise UserError("The backbone must give finite vectors.", "Check its weights file and its preprocessing.")
    return Embeddings(np.asarray(paths, dtype=np.str_), vectors, seconds)


def _restore(vectors: Vectors, kept: Path | None) -> tuple[int, float]:
    """Fill in the rows that a run before left in `kept`; how many from the start on, and the seconds they took."""
    done, seconds = 0, 0.0
    while kept is not None and (part := array_file.read(_part(kept, done))) is not None:
        rows, spent = part
        vectors[done : done + len(rows)] = rows
        done, seconds = done + len(rows), float(spent)
    return done, seconds


def _part(kept: Path, start: int) -> Path:
    return kept / f"rows_{start:09d}.npy"
