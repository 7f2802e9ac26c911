"""What a network is trained on: pictures for the CNN, vectors for a head, each with a class number.

Decoded pictures are kept between the epochs in memory, in a file, or nowhere.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.core import machine
from realwaste.core.log import logger
from realwaste.dataset.labels import labels_of, paths_of
from realwaste.images.array_shards import Shards
from realwaste.images.reader import Pixels, read_images

RULE = "memory if the decoded pictures take at most half of what is free there, else disk by the same rule, else none"
_CHUNK = 256  # pictures that are decoded before they are written


class DecodedOnRead:
    """Pictures that are decoded at every access; indexed like an array (n, size, size, 3) uint8."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self.files, self.size = files, size
        self.shape = (len(files), size, size, 3)
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, index: NDArray[np.integer]) -> Pixels:
        return read_images([self.files[number] for number in index], self.size)


@dataclass(frozen=True)
class Samples:
    """Inputs (n, …), pictures or vectors, with their labels (n,), which are class numbers."""

    inputs: NDArray[Any] | DecodedOnRead | Shards
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> "Samples":
        """These rows; they may repeat."""
        return Samples(self.inputs[rows], self.labels[rows])


def load_pictures(
    splits: pd.DataFrame, root: Path, size: int, cache: str, *, side_by_side: int = 1
) -> tuple[Samples, Samples, str]:
    """Training and validation pictures, (n, size, size, 3) uint8, and the cache that holds them.

    Args:
        cache: memory, disk or none; by RULE the next one if it is too small. The file of `disk` is beside `root`.
        side_by_side: the number of processes on this machine that each hold the same pictures.
    """
    files = {part: [root / path for path in paths_of(splits, part)] for part in ("train", "val")}
    needed = side_by_side * sum(map(len, files.values())) * size * size * 3
    disk = shutil.disk_usage(root.parent).free
    chosen_cache = choose_cache(cache, needed, memory=machine.free_memory(), disk=disk)
    train, val = (
        Samples(decode_all(paths, size, chosen_cache, root.parent), labels_of(splits, part))
        for part, paths in files.items()
    )
    return train, val, chosen_cache


def choose_cache(wanted: str, needed: int, *, memory: int, disk: int) -> str:
    """The cache to use by RULE, `wanted` or the next that fits, from the bytes needed and those free."""
    order = ["memory", "disk", "none"]
    room = {"memory": memory // 2, "disk": disk // 2, "none": needed}
    fitting = next(cache for cache in order[order.index(wanted) :] if needed <= room[cache])
    if fitting != wanted:
        logger.warning(
            "%.1f GB of decoded pictures do not fit in cache: %s (%s); used: %s", needed / 1e9, wanted, RULE, fitting
        )
    return fitting


def decode_all(files: Sequence[Path], size: int, cache: str, folder: Path) -> Pixels | DecodedOnRead:
    """All pictures, (n, size, size, 3) uint8, in the given cache; unless that is none, each is decoded only once."""
    if cache == "none":
        return DecodedOnRead(files, size)
    if cache == "memory":
        return read_images(files, size)
    # The file has no name, so it is gone when the process ends, even if it is killed.
    with tempfile.TemporaryFile(dir=folder) as file:
        pixels = np.memmap(file, np.uint8, "w+", shape=(len(files), size, size, 3))
    for start in range(0, len(files), _CHUNK):
        part = files[start : start + _CHUNK]
        pixels[start : start + len(part)] = read_images(part, size)
    return pixels
