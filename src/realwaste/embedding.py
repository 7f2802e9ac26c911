"""A frozen backbone gives an image the same vector in every epoch: computed once, kept, trained on in seconds.

They are kept as a folder of .npy files: NNNNN.vectors.npy, at most SHARD_BYTES each, with NNNNN.paths.npy of the same
rows, and index.json, which says how many rows and files there are. Which engine computed them does not show.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from realwaste import arrays
from realwaste.atomic import replacing, write_json
from realwaste.batches import steps
from realwaste.errors import UserError
from realwaste.images import read_ahead
from realwaste.log import console, is_quiet
from realwaste.pixel_cache import free_memory
from realwaste.records import read_json
from realwaste.shards import Shards, mapped

Vectors = NDArray[np.float32]
KEEP_EVERY = 16  # batches
SHARD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Job:
    """What is embedded, and how.

    Attributes:
        paths: of the images, below `root`.
        dtype_policy: in which the backbone's twin (realwaste.fused) computes.
        batch_size: images that go through it at once.
        deterministic: as realwaste.training.make_repeatable has it.
    """

    root: Path
    paths: Sequence[str]
    dtype_policy: str
    image_size: int
    batch_size: int
    deterministic: bool


@dataclass(frozen=True)
class Embeddings:
    """vectors (n, width) float32, one a path; seconds that they took to compute, by all runs together."""

    paths: NDArray[np.str_]
    vectors: Vectors | Shards
    seconds: float = 0.0

    def of(self, paths: Sequence[str]) -> Vectors | Shards:
        """The vectors of these paths, in this order; KeyError for a path that is not here.

        In memory, but for vectors in several files that would take more than half of what is free there.
        """
        rows = pd.Series(range(len(self.paths)), index=self.paths).loc[list(paths)].to_numpy()
        if isinstance(self.vectors, Shards) and 4 * len(rows) * self.vectors.shape[1] > free_memory() // 2:
            return self.vectors.take(rows)
        return self.vectors[rows]


def embed(
    model: keras.Model,
    root: Path,
    paths: Sequence[str],
    *,
    image_size: int,
    batch_size: int,
    kept: Path | None = None,
    readers: int | None = None,
) -> Embeddings:
    """Push every image of root/<path> through `model` (uint8 RGB in, one vector out), decoding ahead of it.

    Args:
        kept: a folder to leave vectors in every few batches, and to go on from if there are some.
        readers: threads that decode; one a core without it.
    """
    vectors = np.empty((len(paths), model.output_shape[-1]), np.float32)
    done, seconds = _restore(vectors, kept)
    start, began = done, time.perf_counter() - seconds
    pictures = read_ahead([root / path for path in paths[done:]], image_size, batch_size, readers)
    shown = steps(len(paths) - done, batch_size)
    for pixels in track(pictures, "embedding", total=shown, console=console, disable=is_quiet()):
        # Every batch has one shape, the last one filled up with its first picture: another shape would be traced anew.
        filled = np.concatenate([pixels, np.repeat(pixels[:1], batch_size - len(pixels), axis=0)])
        vectors[done : done + len(pixels)] = model.predict_on_batch(filled)[: len(pixels)]
        done += len(pixels)
        seconds = time.perf_counter() - began
        if kept is not None and (done - start >= KEEP_EVERY * batch_size or done == len(paths)):
            arrays.write(_part(kept, start), [vectors[start:done], np.array(seconds)])
            start = done
    if not np.isfinite(vectors).all():
        raise UserError(
            f"The backbone {model.name} must give finite vectors.", "Check its weights file and its preprocessing."
        )
    return Embeddings(np.asarray(paths, dtype=np.str_), vectors, seconds)


def _restore(vectors: Vectors, kept: Path | None) -> tuple[int, float]:
    """Fill in the rows that a run before left in `kept`; how many from the start on, and the seconds they took."""
    done, seconds = 0, 0.0
    while kept is not None and (part := arrays.read(_part(kept, done))) is not None:
        rows, spent = part
        vectors[done : done + len(rows)] = rows
        done, seconds = done + len(rows), float(spent)
    return done, seconds


def _part(kept: Path, start: int) -> Path:
    return kept / f"rows_{start:09d}.npy"


def save(folder: Path, embeddings: Embeddings) -> None:
    """Whole, in place of what is there; a shard at a time."""
    count, width = embeddings.vectors.shape
    rows = max(1, SHARD_BYTES // (4 * width))
    starts = range(0, count, rows)
    with replacing(folder) as temporary:
        temporary.mkdir()
        for number, start in enumerate(starts):
            part = slice(start, start + rows)
            np.save(_shard(temporary, number, "vectors"), embeddings.vectors[part])
            np.save(_shard(temporary, number, "paths"), embeddings.paths[part])
        write_json(temporary / "index.json", {"rows": count, "width": width, "shards": len(starts)})


def load(folder: Path) -> Embeddings:
    """What `save` left, the vectors read when they are asked for.

    Raises:
        UserError: files are missing, or rows are: not one path and one vector each.
    """
    try:
        said = read_json(folder / "index.json")
        numbers = range(said["shards"])
        paths = np.concatenate([mapped(_shard(folder, number, "paths")) for number in numbers])
        files = [_shard(folder, number, "vectors") for number in numbers]
        shapes = [mapped(file).shape for file in files]
    except (OSError, KeyError, ValueError) as error:
        raise _not_whole(folder, str(error)) from error
    counts, widths = [shape[0] for shape in shapes], {shape[1:] for shape in shapes}
    if not len(paths) == sum(counts) == said["rows"] or widths != {(said["width"],)}:
        raise _not_whole(folder, f"{len(paths)} paths and {sum(counts)} vectors of {said['rows']}")
    if not pd.Index(paths).is_unique:
        raise _not_whole(folder, f"{pd.Index(paths).duplicated().sum()} paths that stand twice")
    return Embeddings(paths, mapped(files[0]) if len(files) == 1 else Shards(files, counts))


def _shard(folder: Path, number: int, what: str) -> Path:
    return folder / f"{number:05d}.{what}.npy"


def _not_whole(folder: Path, found: str) -> UserError:
    return UserError(f"{folder} must hold one vector for each image.", "Run the stage that embeds them again.", found)
