"""Arrays in one file that is whole or counts as absent; written in one pass, since it happens after every epoch.

The first line says what follows, as JSON behind its own CRC-32; then come the arrays' bytes.
"""

import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from realwaste.atomic import replacing
from realwaste.log import logger

Arrays = list[NDArray[Any]]


def write(path: Path, arrays: Iterable[NDArray[Any]]) -> None:
    """np.savez does the same in four times the time: it copies what it writes in small pieces."""
    whole = [np.asarray(array, order="C") for array in arrays]
    rows = [[array.dtype.str, array.shape, zlib.crc32(array.data)] for array in whole]
    content = json.dumps(rows).encode()
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(b"%08x %s\n" % (zlib.crc32(content), content))
        for array in whole:
            array.tofile(file)


def read(path: Path) -> Arrays | None:
    """What was written; None where there is no file, or one that a machine which lost its power left damaged."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        arrays = _read(file)
    if arrays is None:
        logger.warning("%s is damaged: what it held is done again", path)
    return arrays


def _read(file: BinaryIO) -> Arrays | None:
    checksum, _, content = file.readline().partition(b" ")
    if not content or b"%08x" % zlib.crc32(content[:-1]) != checksum:
        return None
    arrays = []
    for dtype, shape, expected in json.loads(content):
        array = np.fromfile(file, dtype, math.prod(shape))
        if array.size != math.prod(shape) or zlib.crc32(array.data) != expected:
            return None
        arrays.append(array.reshape(shape))
    return arrays
