"""The vectors of images from a frozen backbone, as a folder of .npy files.

NNNNN.vectors.npy has at most SHARD_BYTES, NNNNN.paths.npy the paths of the same rows, and index.json the number of rows
and files. The files do not depend on the engine that computed them. The vectors of augmented views, which are used for
training only, are in subfolders: view_0, view_1 ….
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.core.files import atomic_replace, is_stage_output, read_json, write_json
from realwaste.images.array_shards import Shards, open_memory_map

Vectors = NDArray[np.float32]
SHARD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Embeddings:
    """vectors (n, width) float32, one per path; the seconds of computation, summed over resumed runs."""

    paths: NDArray[np.str_]
    vectors: Vectors | Shards
    seconds: float = 0.0

    def select(self, paths: Sequence[str]) -> Vectors | Shards:
        """The vectors of these paths, in this order; KeyError for an unknown path.

        They are loaded into memory unless they are in several files and would take more than half of the free memory.
        """
        rows = pd.Series(range(len(self.paths)), index=self.paths).loc[list(paths)].to_numpy()
        if isinstance(self.vectors, Shards) and 4 * len(rows) * self.vectors.shape[1] > machine.free_memory() // 2:
            return self.vectors.take(rows)
        return self.vectors[rows]


def save(folder: Path, embeddings: Embeddings) -> None:
    """Write a folder, and replace an existing one when it is complete."""
    count, width = embeddings.vectors.shape
    rows = max(1, SHARD_BYTES // (4 * width))
    starts = range(0, count, rows)
    with atomic_replace(folder, is_stage_output) as temporary:
        temporary.mkdir()
        for number, start in enumerate(starts):
            part = slice(start, start + rows)
            np.save(_shard(temporary, number, "vectors"), embeddings.vectors[part])
            np.save(_shard(temporary, number, "paths"), embeddings.paths[part])
        write_json(temporary / "index.json", {"rows": count, "width": width, "shards": len(starts)})


def load(folder: Path) -> Embeddings:
    """Open what `save` wrote; vectors are read when they are accessed.

    Raises:
        UserError: files or rows are missing, or a path occurs twice.
    """
    try:
        index = read_json(folder / "index.json")
        numbers = range(index["shards"])
        paths = np.concatenate([open_memory_map(_shard(folder, number, "paths")) for number in numbers])
        files = [_shard(folder, number, "vectors") for number in numbers]
        shapes = [open_memory_map(file).shape for file in files]
    except (OSError, KeyError, ValueError) as error:
        raise _incomplete(folder, str(error)) from error
    counts, widths = [shape[0] for shape in shapes], {shape[1:] for shape in shapes}
    if not len(paths) == sum(counts) == index["rows"] or widths != {(index["width"],)}:
        raise _incomplete(folder, f"{len(paths)} paths and {sum(counts)} vectors of {index['rows']}")
    if not pd.Index(paths).is_unique:
        raise _incomplete(folder, f"{pd.Index(paths).duplicated().sum()} paths that occur twice")
    return Embeddings(paths, open_memory_map(files[0]) if len(files) == 1 else Shards(files, counts))


def view_folder(folder: Path, number: int) -> Path:
    return folder / f"view_{number}"


def load_views(folder: Path) -> list[Embeddings]:
    """The embeddings of each augmented view in `folder`; an empty list if there are none."""
    return [load(view_folder(folder, number)) for number in range(len(list(folder.glob("view_*"))))]


def _shard(folder: Path, number: int, kind: str) -> Path:
    return folder / f"{number:05d}.{kind}.npy"


def _incomplete(folder: Path, received: str) -> UserError:
    return UserError(f"{folder} must hold one vector for each image.", "Run the embed stage again.", received)
