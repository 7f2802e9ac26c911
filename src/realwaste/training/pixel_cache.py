"""Where decoded pictures are kept between the epochs of a training: in memory, in a file, or nowhere."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realwaste.core import machine
from realwaste.core.log import logger
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


def choose_cache_by_space(wanted: str, needed: int, *, memory: int, disk: int) -> str:
    """The cache to use by RULE: `wanted`, or the next that fits.

    Args:
        wanted: memory, disk or none.
        needed: bytes of all decoded pictures; memory and disk: bytes free there.
    """
    order = ["memory", "disk", "none"]
    room = {"memory": memory // 2, "disk": disk // 2, "none": needed}
    chosen = next(cache for cache in order[order.index(wanted) :] if needed <= room[cache])
    if chosen != wanted:
        logger.warning(
            "%.1f GB of decoded pictures do not fit in cache: %s (%s); used: %s", needed / 1e9, wanted, RULE, chosen
        )
    return chosen


def choose_cache(wanted: str, pictures: int, size: int, folder: Path) -> str:
    """The cache to use on this machine for `pictures` of `size` pixels a side; the file of `disk` is in `folder`."""
    needed = pictures * size * size * 3
    return choose_cache_by_space(wanted, needed, memory=machine.free_memory(), disk=shutil.disk_usage(folder).free)


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
