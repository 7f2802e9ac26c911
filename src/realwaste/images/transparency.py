"""Pictures with transparency on white, as most viewers show them: nobody sees which colour a transparent pixel has."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Of tags that it finds odd; what a file lacks for people is the reader's to say.
warnings.filterwarnings("ignore", module=r"PIL\.")


def on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey or colour with transparency (height, width, 2 or 4) without it; the very colours where nothing is."""
    color, alpha = pixels[..., :-1], pixels[..., -1]
    if alpha.min() == 255:
        return np.ascontiguousarray(color)
    dark = cv2.bitwise_not(np.ascontiguousarray(color))
    shares = np.repeat(alpha[..., np.newaxis], color.shape[2], axis=2)
    dimmed = cv2.multiply(dark, shares, scale=1 / 255)
    return np.atleast_3d(cv2.bitwise_not(dimmed)).astype(np.uint8, copy=False)


def has_transparency(picture: Any) -> bool:
    """Whether a picture of Pillow's may have transparent pixels, by its header; `RGBa` is RGBA multiplied already."""
    return bool(picture.has_transparency_data) or picture.mode in {"RGBa", "La"}


def transparent(data: bytes, kind: str, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """A PNG, GIF, BMP, TIFF or WebP upright as (height, width, 4), if a pixel of it is transparent; else None.

    By Pillow, since OpenCV hands out transparency only together with a picture that is not turned upright.

    Args:
        shape: that the picture must have, upright.

    Raises:
        Exception: whatever Pillow raises for a damaged file.
    """
    from PIL import BmpImagePlugin, GifImagePlugin, ImageOps, PngImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: PLC0415

    readers: dict[str, Callable[[io.BytesIO], Any]] = {
        "PNG": PngImagePlugin.PngImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
    }
    try:
        picture = readers[kind](io.BytesIO(data))
        # Of a file that states two sizes OpenCV has taken one, which was held against the limit.
        if not has_transparency(picture) or sorted(picture.size) != sorted(shape[:2]):
            return None
    except Exception:  # what Pillow does not know, in a file that OpenCV has read
        return None
    ImageOps.exif_transpose(picture, in_place=True)
    pixels = np.asarray(picture.convert("RGBA"))
    return pixels if pixels[..., 3].min() < 255 and pixels.shape[:2] == shape[:2] else None
