"""Views of square pictures that show, hide or replace the background; arrays (n, size, size, 3), uint8.

A classifier that goes by the objects should be accurate without the background, and fail without the object.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.images.reader import Pixels

MARGIN = 0.12
"""Width of the outer frame, as a share of a picture's side. The frame mostly shows the background of the object."""
TINY = 32
"""Pixels a side of the smallest view, which shows colours and their positions but no texture."""
_PAINT = 127


def frame(pictures: Pixels) -> Pixels:
    """The outer frame alone: the middle is painted grey."""
    return np.where(_is_frame(pictures), pictures, np.uint8(_PAINT))


def middle(pictures: Pixels) -> Pixels:
    """The middle alone: the outer frame is painted grey."""
    return np.where(_is_frame(pictures), np.uint8(_PAINT), pictures)


def grey(pictures: Pixels) -> Pixels:
    """Greyscale, as three equal channels."""
    return np.stack(
        [cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for picture in pictures]
    )


def tiny(pictures: Pixels) -> Pixels:
    """Shrunk to TINY pixels a side and enlarged again."""
    size = pictures.shape[1:3]
    shrunk = (cv2.resize(picture, (TINY, TINY), interpolation=cv2.INTER_AREA) for picture in pictures)
    return np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR) for picture in shrunk])


def swap_frame(pictures: Pixels, frame_pictures: Pixels) -> Pixels:
    """The middle of each of `pictures` in the outer frame of the corresponding one of `frame_pictures`."""
    return np.where(_is_frame(pictures), frame_pictures, pictures)


PROBE_VIEWS: dict[str, Callable[[Pixels], Pixels]] = {
    "whole": lambda pictures: pictures,
    "frame": frame,
    "middle": middle,
    "grey": grey,
    "tiny": tiny,
}
"""Views on which linear probes are trained and tested; the names are keys of metrics/shortcuts.json."""
SWAPPED_VIEWS: dict[str, Callable[[Pixels, Pixels], Pixels]] = {
    "frame_painted": lambda pictures, _: middle(pictures),
    "frame_swapped": swap_frame,
    "middle_painted": lambda pictures, _: frame(pictures),
    "middle_swapped": lambda pictures, other_class: swap_frame(other_class, pictures),
}
"""Views on which trained models are tested, from pictures and as many pictures of other classes."""


def _is_frame(pictures: Pixels) -> NDArray[np.bool_]:
    """A mask (size, size, 1) of the outer frame."""
    size = pictures.shape[1]
    inner = slice(round(MARGIN * size), size - round(MARGIN * size))
    mask = np.ones((size, size, 1), bool)
    mask[inner, inner] = False
    return mask
