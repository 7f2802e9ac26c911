"""Vectors of images, as a frozen backbone gave them, in a folder of .npy files.

NNNNN.vectors.npy has at most SHARD_BYTES, NNNNN.paths.npy the paths of the same rows, and index.json says how many rows
and files there are. Which engine computed them does not show. Vectors of changed views of the images, to learn from
alone, are in folders of their own below: view_0, view_1 ….
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.core.files import is_stage_output, read_json, replacing, write_json
from realwaste.images.array_shards import Shards, mapped

Vectors = NDArray[np.float32]
SHARD_BYTES = 256 * 2**20


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
        if isinstance(self.vectors, Shards) and 4 * len(rows) * self.vectors.shape[1] > machine.free_memory() // 2:
            return self.vectors.take(rows)
        return self.vectors[rows]


def save(folder: Path, embeddings: Embeddings) -> None:
    """Whole, in place of what is there; a shard at a time."""
    count, width = embeddings.vectors.shape
    rows = max(1, SHARD_BYTES // (4 * width))
    starts = range(0, count, rows)
    with replacing(folder, is_stage_output) as temporary:
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


def view_folder(folder: Path, number: int) -> Path:
    return folder / f"view_{number}"


def load_views(folder: Path) -> list[Embeddings]:
    """The vectors of each view below `folder`; none where the images alone were embedded."""
    return [load(view_folder(folder, number)) for number in range(len(list(folder.glob("view_*"))))]


def _shard(folder: Path, number: int, what: str) -> Path:
    return folder / f"{number:05d}.{what}.npy"


def _not_whole(folder: Path, found: str) -> UserError:
    return UserError(f"{folder} must hold one vector for each image.", "Run the stage that embeds them again.", found)
