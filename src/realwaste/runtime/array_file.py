"""Arrays in one file that is whole or counts as absent; written in one pass, since it happens after every epoch.

Before each array a line says what follows, as JSON behind its own CRC-32: dtype, shape and CRC-32 of its bytes.
"""

import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from realwaste.core.files import replacing

Arrays = list[NDArray[Any]]


def write(path: Path, arrays: Iterable[NDArray[Any]]) -> None:
    """Write the arrays, in a quarter of the time of np.savez, which copies what it writes in small pieces."""
    with replacing(path) as temporary, temporary.open("wb", buffering=0) as file:
        _write(file, arrays)


def overwrite(path: Path, arrays: Iterable[NDArray[Any]]) -> None:
    """Write into the file that is there, which counts as absent until the end.

    The system need not find memory for a new file: 0.1 s for the CNN's 0.4 GB, in place of 0.3 to 1.2.
    """
    path.touch()
    with path.open("r+b", buffering=0) as file:
        file.write(b"\n")
        file.seek(0)
        _write(file, arrays)
        file.truncate()


def read(path: Path) -> Arrays | None:
    """The arrays that were written; None where there is no file, or one that was cut off or damaged."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return _read(file)


def _write(file: Any, arrays: Iterable[NDArray[Any]]) -> None:
    for array in arrays:
        whole = np.asarray(array, order="C")
        _write_line(file, [whole.dtype.str, whole.shape, zlib.crc32(whole.data)])
        whole.tofile(file)
    _write_line(file, None)


def _write_line(file: Any, content: object) -> None:
    text = json.dumps(content).encode()
    file.write(b"%08x %s\n" % (zlib.crc32(text), text))


def _read(file: BinaryIO) -> Arrays | None:
    arrays: Arrays = []
    while True:
        checksum, _, text = file.readline().partition(b" ")
        if not text.endswith(b"\n") or b"%08x" % zlib.crc32(text[:-1]) != checksum:
            return None
        said = json.loads(text[:-1])
        if said is None:
            return arrays
        dtype, shape, expected = said
        array = np.fromfile(file, dtype, math.prod(shape))
        if array.size != math.prod(shape) or zlib.crc32(array.data) != expected:
            return None
        arrays.append(array.reshape(shape))
