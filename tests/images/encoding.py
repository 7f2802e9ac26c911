"""Image files of every format, written by Pillow."""

import io
from typing import Any

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()  # so that Pillow can write HEIC files


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def exif_with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()
