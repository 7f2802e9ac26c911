"""Fingerprints of images, to find near-duplicates and further photographs of the same object."""

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
# Of each pixel: 0 to 2, by its distance from the centre in pixels.
_RING = np.digitize(np.hypot(*(np.mgrid[:_SIDE, :_SIDE] - (_SIDE - 1) / 2)), (14, 24))


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of one image.

    Attributes:
        phash: 64 bits as 16 hexadecimal digits. Few bits change when an image is scaled or compressed again.
        mirrored: the same for the mirror image.
        colors: (540,), unit length: the share of each colour in the centre, around it and at the edge, after removal
            of exposure and colour cast. It hardly changes when a scene is rotated, flipped or moved a little.
    """

    phash: str
    mirrored: str
    colors: Colors


def compute_fingerprint(pixels: Pixels) -> Fingerprint:
    """The fingerprint of RGB uint8 (height, width, 3)."""
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = cv2.resize(small.mean(axis=2), (32, 32), interpolation=cv2.INTER_AREA)
    return Fingerprint(_hash(grey), _hash(np.ascontiguousarray(grey[:, ::-1])), _colors(small))


def _hash(grey: NDArray[np.float32]) -> str:
    """The signs of the 64 lowest frequencies against their median (pHash, Zauner 2010)."""
    low = cv2.dct(grey)[:8, :8].ravel()
    return np.packbits(low > np.median(low)).tobytes().hex()


def _colors(small: NDArray[np.float32]) -> Colors:
    # Divided by each channel's mean (grey-world assumption), so that illuminant and exposure have no effect.
    light = np.log((small + 1) / (small + 1).mean(axis=(0, 1)))
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    channels = np.stack([light.mean(axis=2), red - green, blue - green], axis=-1)
    levels = ((channels - _LOW) / (_HIGH - _LOW) * _LEVELS).astype(np.int64).clip(0, np.array(_LEVELS) - 1)
    cells = np.ravel_multi_index((_RING, levels[..., 0], levels[..., 1], levels[..., 2]), (3, *_LEVELS))
    counts = np.bincount(cells.ravel(), minlength=3 * int(np.prod(_LEVELS))).reshape(3, -1)
    return np.sqrt(counts / counts.sum(axis=1, keepdims=True) / 3).ravel().astype(np.float32)
