"""Photographs made smaller to be shown."""

import cv2
import numpy as np

from realwaste.images.reader import Pixels


def at_most(photo: Pixels, side: int) -> Pixels:
    """With a longer side of at most `side` pixels; the photograph itself where it is no larger."""
    height, width = photo.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return photo
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
