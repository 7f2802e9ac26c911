"""What an image looks like, in a few bytes: to find it again, or its object photographed again."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.images.reader import Pixels

Colors = NDArray[np.float32]

_SIDE = 64
_LEVELS = (5, 6, 6)  # brightness, red against green, blue against green
_LOW = np.array([-1.2, -0.6, -0.6], np.float32)
_HIGH = np.array([1.0, 0.6, 0.6], np.float32)
_RINGS = (14, 24)  # pixels from the middle of _SIDE; what lies further out is the third ring


@dataclass(frozen=True)
class Fingerprint:
    """Of one image.

    Attributes:
        phash: 64 bits as 16 hexadecimal digits; few bits differ where an image was scaled or compressed anew.
        mirrored: the same of the image seen in a mirror.
        colors: (540,), unit length: the share of each colour in the middle, around it and at the edge, after light and
            colour cast are taken out. It hardly changes when a scene is turned, flipped or moved a little.
    """

    phash: str
    mirrored: str
    colors: Colors


def of(pixels: Pixels) -> Fingerprint:
    """The fingerprint of RGB uint8 (height, width, 3)."""
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = cv2.resize(small.mean(axis=2), (32, 32), interpolation=cv2.INTER_AREA)
    return Fingerprint(_hash(grey), _hash(np.ascontiguousarray(grey[:, ::-1])), _colors(small))


def likeness(first: Colors, second: Colors) -> float:
    """Bhattacharyya coefficient of two images' colours, 0 to 1."""
    return float(first @ second)


def _hash(grey: NDArray[np.float32]) -> str:
    """The signs of the 64 lowest frequencies against their median (pHash, Zauner 2010)."""
    low = cv2.dct(grey)[:8, :8].ravel()
    return np.packbits(low > np.median(low)).tobytes().hex()


def _colors(small: NDArray[np.float32]) -> Colors:
    # Divided by each channel's mean (a grey world), so that neither lamp nor exposure counts.
    light = np.log((small + 1) / (small + 1).mean(axis=(0, 1)))
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    measured = np.stack([light.mean(axis=2), red - green, blue - green], axis=-1)
    level = ((measured - _LOW) / (_HIGH - _LOW) * _LEVELS).astype(np.int64).clip(0, np.array(_LEVELS) - 1)
    cell = np.ravel_multi_index((_RING, level[..., 0], level[..., 1], level[..., 2]), (3, *_LEVELS))
    counts = np.bincount(cell.ravel(), minlength=3 * int(np.prod(_LEVELS))).reshape(3, -1)
    return np.sqrt(counts / counts.sum(axis=1, keepdims=True) / 3).ravel().astype(np.float32)


def _rings() -> NDArray[np.int64]:
    rows, columns = np.mgrid[:_SIDE, :_SIDE] - (_SIDE - 1) / 2
    return np.digitize(np.hypot(rows, columns), _RINGS)


_RING = _rings()
