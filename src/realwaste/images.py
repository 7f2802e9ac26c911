"""The one reader of pictures: validation, training and prediction see the same pixels."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

# A small file may unpack to any size. OpenCV reads this limit when it is loaded, and knows no other way.
MAX_PIXELS = 200_000_000
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

Pixels = NDArray[np.uint8]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})


class UnreadableImageError(Exception):
    """The bytes are no picture that can be read whole; the message is the reason."""


def decode(data: bytes) -> Pixels:
    """Bytes of an image file to RGB, uint8, (height, width, 3), turned upright as its EXIF tag says.

    Raises:
        UnreadableImageError: with the reason.
    """
    if not data:
        raise UnreadableImageError("empty file")
    if _is_cut_jpeg(data):
        raise UnreadableImageError("truncated JPEG")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        reason = f"more than {MAX_PIXELS:,} pixels" if "CV_IO_MAX_IMAGE" in error.err else f"refused: {error.err}"
        raise UnreadableImageError(reason) from error
    except MemoryError as error:
        raise UnreadableImageError("not enough memory to decode it") from error
    if image is None:
        raise UnreadableImageError("not an image")
    return image.astype(np.uint8, copy=False)


def _is_cut_jpeg(data: bytes) -> bool:
    # OpenCV fills the missing part with grey and goes on. Inside the coded picture, which begins at the last
    # start-of-scan, the end marker cannot occur by chance: JPEG stuffs a zero after each 0xFF there.
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def resize(image: Pixels, size: int) -> Pixels:
    """To (size, size, 3): stretched, as the report does; averaged over areas when shrinking, so nothing aliases."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinking = size < min(height, width)
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def read(path: Path, size: int) -> Pixels:
    """One file as (size, size, 3) uint8 RGB."""
    try:
        return resize(decode(path.read_bytes()), size)
    except UnreadableImageError as error:
        raise UnreadableImageError(f"{path}: {error}") from error


def read_many(paths: Sequence[Path], size: int, pool: ThreadPoolExecutor | None = None) -> Pixels:
    """Files as (n, size, size, 3) uint8 RGB, in the order given, decoded on all cores."""
    batch = np.empty((len(paths), size, size, 3), np.uint8)

    def place(index: int) -> None:
        batch[index] = read(paths[index], size)

    with ThreadPoolExecutor(os.cpu_count()) if pool is None else nullcontext(pool) as workers:
        for _ in workers.map(place, range(len(paths))):
            pass
    return batch


def read_ahead(paths: Sequence[Path], size: int, batch_size: int, readers: int | None = None) -> Iterator[Pixels]:
    """Batches as read_many gives them; the next two are decoded while the caller works on one.

    Args:
        readers: threads that decode; one a core without it.
    """
    parts = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
    with ThreadPoolExecutor(readers or os.cpu_count()) as pool, ThreadPoolExecutor(1) as ahead:
        coming = deque(ahead.submit(read_many, part, size, pool) for part in parts[:2])
        for following in parts[2:]:
            yield coming.popleft().result()
            coming.append(ahead.submit(read_many, following, size, pool))
        while coming:
            yield coming.popleft().result()
