"""Arrays in one checksummed file: a damaged or incomplete file is treated as absent. Fast to write after every epoch.

Format: before each array, a line with the CRC-32 of its JSON text and the JSON: dtype, shape and CRC-32 of the array.
"""

import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.core.files import atomic_replace

Arrays = list[NDArray[Any]]


def write(path: Path, arrays: Iterable[NDArray[Any]]) -> None:
    """Write the arrays to a new file, in a quarter of the time of np.savez, which copies in small pieces."""
    with atomic_replace(path) as temporary, temporary.open("wb", buffering=0) as file:
        _write(file, arrays)


def overwrite(path: Path, arrays: Iterable[NDArray[Any]]) -> None:
    """Write the arrays into the existing file, which is treated as absent until the last byte is written.

    The system need not allocate a new file: 0.1 s for the CNN's 0.4 GB, in place of 0.3 to 1.2 s.
    """
    path.touch()
    with path.open("r+b", buffering=0) as file:
        file.write(b"\n")
        file.seek(0)
        _write(file, arrays)
        file.truncate()


def read(path: Path) -> Arrays | None:
    """The arrays of a file; None if it does not exist, is incomplete or is damaged."""
    if not path.is_file():
        return None
    arrays: Arrays = []
    with path.open("rb") as file:
        while True:
            checksum, _, text = file.readline().partition(b" ")
            if not text.endswith(b"\n") or b"%08x" % zlib.crc32(text[:-1]) != checksum:
                return None
            header = json.loads(text[:-1])
            if header is None:
                return arrays
            dtype, shape, expected = header
            array = np.fromfile(file, dtype, math.prod(shape))
            if array.size != math.prod(shape) or zlib.crc32(array.data) != expected:
                return None
            arrays.append(array.reshape(shape))


def _write(file: Any, arrays: Iterable[NDArray[Any]]) -> None:
    for array in arrays:
        contiguous = np.asarray(array, order="C")
        _write_line(file, [contiguous.dtype.str, contiguous.shape, zlib.crc32(contiguous.data)])
        contiguous.tofile(file)
    _write_line(file, None)


def _write_line(file: Any, content: object) -> None:
    text = json.dumps(content).encode()
    file.write(b"%08x %s\n" % (zlib.crc32(text), text))
