"""Where the decoded pictures of a training wait for their next epoch: in memory, in a file, or nowhere."""

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
_AT_ONCE = 256  # pictures decoded before they are written


class DecodedOnRead:
    """Pictures decoded whenever they are asked for, indexed as an array (n, size, size, 3) uint8 is."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self.files, self.size = files, size
        self.shape = (len(files), size, size, 3)
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, index: NDArray[np.integer]) -> Pixels:
        return read_images([self.files[number] for number in index], self.size)


def choose_by_room(wanted: str, needed: int, *, memory: int, disk: int) -> str:
    """The cache to use by RULE: `wanted`, or the next that fits.

    Args:
        wanted: memory, disk or none.
        needed: bytes of all decoded pictures; memory and disk: bytes free there.
    """
    order = ["memory", "disk", "none"]
    room = {"memory": memory // 2, "disk": disk // 2, "none": needed}
    used = next(cache for cache in order[order.index(wanted) :] if needed <= room[cache])
    if used != wanted:
        logger.warning(
            "%.1f GB of decoded pictures do not fit in cache: %s (%s); used: %s", needed / 1e9, wanted, RULE, used
        )
    return used


def choose(wanted: str, pictures: int, size: int, folder: Path) -> str:
    """The cache to use for so many pictures of `size` pixels a side on this machine, a file cache being in `folder`."""
    needed = pictures * size * size * 3
    return choose_by_room(wanted, needed, memory=machine.free_memory(), disk=shutil.disk_usage(folder).free)


def decoded(files: Sequence[Path], size: int, cache: str, folder: Path) -> Pixels | DecodedOnRead:
    """Every picture (n, size, size, 3) uint8, kept as `cache` says; each is decoded once unless that is none."""
    if cache == "none":
        return DecodedOnRead(files, size)
    if cache == "memory":
        return read_images(files, size)
    # Without a name: it is gone when the process is, however that ends.
    with tempfile.TemporaryFile(dir=folder) as file:
        pixels = np.memmap(file, np.uint8, "w+", shape=(len(files), size, size, 3))
    for start in range(0, len(files), _AT_ONCE):
        part = files[start : start + _AT_ONCE]
        pixels[start : start + len(part)] = read_images(part, size)
    return pixels
