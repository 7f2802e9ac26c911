"""Heat over a photograph: where a classifier looked, in a colour map whose steps look equally large (inferno)."""

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.core.files import replacing
from realwaste.images.reader import Pixels

if TYPE_CHECKING:
    from realwaste.evaluation.grad_cam import Heat

STRENGTH = 0.75
MARK = b"tEXtSoftware\0realwaste overlay"
"""Type and content of a chunk of PNG, by which an overlay is known from other pictures."""
_HEADER_BYTES = 33  # of a PNG: its signature, and the chunk IHDR, which comes first


def blend_heat(pixels: Pixels, heat: "Heat", strength: float = STRENGTH) -> Pixels:
    """The picture, coloured where the heat is: RGB uint8, as large as `pixels`.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        heat: (rows, columns), 0 to 1, spread over the whole picture; where it is 0 the picture stays as it is.
        strength: how much of the picture the colour hides where the heat is 1; 0 none of it, 1 all.
    """
    colours = heat_layer(heat, *pixels.shape[:2])
    share = colours[..., 3:].astype(np.float32) * np.float32(strength / 255)
    return np.rint(pixels + (colours[..., :3] - pixels.astype(np.float32)) * share).astype(np.uint8)


def heat_layer(heat: "Heat", height: int, width: int) -> NDArray[np.uint8]:
    """The colour alone, to lay over a picture: RGBA uint8 (height, width, 4), as opaque as the heat is high."""
    spread = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    levels = np.rint(np.clip(spread, 0, 1) * 255).astype(np.uint8)  # cubic curves overshoot
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return np.dstack([colours, levels]).astype(np.uint8, copy=False)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """RGB or RGBA, (height, width, 3 or 4), as a PNG file's bytes."""
    order = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return cv2.imencode(".png", cv2.cvtColor(pixels, order))[1].tobytes()


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """A PNG file at `path` that has MARK."""
    data = encode_png(pixels)
    length, checksum = (number.to_bytes(4) for number in (len(MARK) - len(b"tEXt"), zlib.crc32(MARK)))
    with replacing(path) as temporary:
        temporary.write_bytes(data[:_HEADER_BYTES] + length + MARK + checksum + data[_HEADER_BYTES:])
