"""Transparent images composited on white, as most viewers show them: the colour of a transparent pixel is invisible."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Pillow warns of unusual tags; the reader reports damaged files itself.
warnings.filterwarnings("ignore", module=r"PIL\.")


def composite_on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite grey or RGB with alpha, (height, width, 2 or 4), on white. Opaque images keep their exact colours."""
    color, alpha = pixels[..., :-1], pixels[..., -1]
    if alpha.min() == 255:
        return np.ascontiguousarray(color)
    inverted = cv2.bitwise_not(np.ascontiguousarray(color))
    opacity = np.repeat(alpha[..., np.newaxis], color.shape[2], axis=2)
    blended = cv2.multiply(inverted, opacity, scale=1 / 255)
    return np.atleast_3d(cv2.bitwise_not(blended)).astype(np.uint8, copy=False)


def decode_transparent(data: bytes, file_format: str, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Decode a PNG, GIF, BMP, TIFF or WebP to upright RGBA (height, width, 4) if it has transparent pixels; else None.

    Pillow does this, since OpenCV ignores the EXIF orientation when it decodes an alpha channel.

    Args:
        shape: the expected shape of the upright image; None is returned for any other.

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
        picture = readers[file_format](io.BytesIO(data))
        may_be_transparent = picture.has_transparency_data or picture.mode in {"RGBa", "La"}  # with premultiplied alpha
        # If a file states two sizes, OpenCV has used the one that was checked against the limit.
        if not may_be_transparent or sorted(picture.size) != sorted(shape[:2]):
            return None
    except Exception:  # OpenCV has read a file that Pillow does not support
        return None
    ImageOps.exif_transpose(picture, in_place=True)
    pixels = np.asarray(picture.convert("RGBA"))
    return pixels if pixels[..., 3].min() < 255 and pixels.shape[:2] == shape[:2] else None
