"""Parts and changes of pictures (n, size, size, 3), uint8, that a classifier of objects should do badly or well on."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.images.reader import Pixels

MARGIN = 0.12
"""Width of the outer frame, as a share of a picture's side: beside most objects, and mostly what they lie on."""
TINY = 32
"""Pixels a side of the smallest view: colours and where they lie, and no texture."""
_PAINT = 127


def frame(pictures: Pixels) -> Pixels:
    """The outer frame alone; the middle painted over with grey."""
    return np.where(_is_frame(pictures), pictures, np.uint8(_PAINT))


def middle(pictures: Pixels) -> Pixels:
    """The middle alone; the outer frame painted over with grey."""
    return np.where(_is_frame(pictures), np.uint8(_PAINT), pictures)


def grey(pictures: Pixels) -> Pixels:
    """Without colour."""
    return np.stack([cv2.cvtColor(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for one in pictures])


def tiny(pictures: Pixels) -> Pixels:
    """Shrunk to TINY pixels a side, and enlarged again."""
    size = pictures.shape[1:3]
    shrunk = (cv2.resize(one, (TINY, TINY), interpolation=cv2.INTER_AREA) for one in pictures)
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in shrunk])


def swap_frame(pictures: Pixels, others: Pixels) -> Pixels:
    """Each picture's middle in the outer frame of the other one."""
    return np.where(_is_frame(pictures), others, pictures)


PROBE_VIEWS: dict[str, Callable[[Pixels], Pixels]] = {
    "whole": lambda pictures: pictures,
    "frame": frame,
    "middle": middle,
    "grey": grey,
    "tiny": tiny,
}
"""What a head is given to see."""
SWAPPED_VIEWS: dict[str, Callable[[Pixels, Pixels], Pixels]] = {
    "frame_painted": lambda pictures, _: middle(pictures),
    "frame_swapped": swap_frame,
    "middle_painted": lambda pictures, _: frame(pictures),
    "middle_swapped": lambda pictures, others: swap_frame(others, pictures),
}
"""What a trained model is asked about: pictures, and as many of other classes."""


def _is_frame(pictures: Pixels) -> NDArray[np.bool_]:
    """(size, size, 1)"""
    size = pictures.shape[1]
    inner = slice(round(MARGIN * size), size - round(MARGIN * size))
    mask = np.ones((size, size, 1), bool)
    mask[inner, inner] = False
    return mask
