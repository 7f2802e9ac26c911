"""Grad-CAM overlays: a heat map over a photograph in a perceptually uniform colour map (inferno), as PNG."""

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.core.files import atomic_replace
from realwaste.images.reader import Pixels

if TYPE_CHECKING:
    from realwaste.evaluation.grad_cam import Heat

STRENGTH = 0.75
MARK = b"tEXtSoftware\0realwaste overlay"
"""Type and content of a PNG chunk that marks a file as an overlay of this package."""
_HEADER_BYTES = 33  # PNG signature and the first chunk, IHDR


def blend_heat(pixels: Pixels, heat: "Heat", strength: float = STRENGTH) -> Pixels:
    """The picture with the heat map blended over it: uint8 RGB of the same size.

    Args:
        pixels: (height, width, 3), uint8 RGB.
        heat: (rows, columns), 0 to 1, resized to the picture. Where it is 0 the picture does not change.
        strength: opacity of the colour where the heat is 1; 0 hides nothing of the picture, 1 hides it completely.
    """
    coloured = heat_layer(heat, *pixels.shape[:2])
    opacity = coloured[..., 3:].astype(np.float32) * np.float32(strength / 255)
    return np.rint(pixels + (coloured[..., :3] - pixels.astype(np.float32)) * opacity).astype(np.uint8)


def heat_layer(heat: "Heat", height: int, width: int) -> NDArray[np.uint8]:
    """The heat map as a layer (height, width, 4), uint8 RGBA, whose opacity is the heat."""
    resized = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    levels = np.rint(np.clip(resized, 0, 1) * 255).astype(np.uint8)  # cubic interpolation overshoots
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return np.dstack([coloured, levels]).astype(np.uint8, copy=False)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file of RGB or RGBA pixels (height, width, 3 or 4)."""
    conversion = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return cv2.imencode(".png", cv2.cvtColor(pixels, conversion))[1].tobytes()


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Writes a PNG file that contains MARK."""
    data = encode_png(pixels)
    length, checksum = (number.to_bytes(4) for number in (len(MARK) - len(b"tEXt"), zlib.crc32(MARK)))
    with atomic_replace(path) as temporary:
        temporary.write_bytes(data[:_HEADER_BYTES] + length + MARK + checksum + data[_HEADER_BYTES:])
