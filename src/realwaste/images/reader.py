"""The one reader of pictures: validation, training and prediction see the same pixels."""

import io
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.core import machine
from realwaste.images.file_format import format_of, jpeg_markers, pixels_of
from realwaste.images.transparency import on_white, transparent

Pixels = NDArray[np.uint8]
# Of a file, its picture and a size: the picture as (size, size, 3), as it is to be seen.
Look = Callable[[Path, Pixels, int], Pixels]

# A small file may unpack to any size.
MAX_PIXELS = 200_000_000
MAX_BYTES = 4 * MAX_PIXELS  # such a picture, not packed, with transparency
MAX_SCANS = 100  # of a progressive JPEG: each goes over the whole picture, and may take 300 bytes to say nothing

# OpenCV's own lines on a damaged file are C++; the reason for people is decode's. What libjpeg and libpng write to
# standard error, a line such a file, has no switch.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class UnreadableImageError(Exception):
    """The bytes are no picture that can be read whole; the message is the reason."""


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that may be a picture.

    Raises:
        UnreadableImageError: no regular file, or one of more than MAX_BYTES: a pipe would never end, nor /dev/zero.
        OSError: it cannot be opened.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise UnreadableImageError("not a regular file")
    if about.st_size > MAX_BYTES:
        raise UnreadableImageError(f"more than {MAX_BYTES:,} bytes")
    with path.open("rb") as file:
        return file.read(about.st_size)  # no more, even if it grows


def decode(data: bytes) -> Pixels:
    """Bytes of an image file to RGB, uint8, (height, width, 3), turned upright as its EXIF tag says.

    What is transparent lies on white. Its size is looked up in its header before anything is unpacked.

    Raises:
        UnreadableImageError: with the reason.
    """
    if not data:
        raise UnreadableImageError("empty file")
    kind = format_of(data)
    if kind is None:
        raise UnreadableImageError("not an image")
    try:
        return _decode_heif(data, kind) if kind in {"HEIC", "AVIF"} else _decode(data, kind)
    except MemoryError as error:
        raise UnreadableImageError("not enough memory to decode it") from error


def _decode(data: bytes, kind: str) -> Pixels:
    _check_size(_pixels_of_jpeg(data) if kind == "JPEG" else pixels_of(data, kind), kind)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise UnreadableImageError(f"damaged {kind}") from error
    if image is None:
        raise UnreadableImageError((_depth(data) if kind == "TIFF" else None) or f"damaged {kind}")
    seen_through = None if kind == "JPEG" else _transparent(data, kind, image.shape)
    return image.astype(np.uint8, copy=False) if seen_through is None else on_white(seen_through)


def _transparent(data: bytes, kind: str, shape: tuple[int, ...]) -> Pixels | None:
    try:
        return transparent(data, kind, shape)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableImageError(f"damaged {kind}") from error


def _depth(data: bytes) -> str | None:
    """Why a sound TIFF is not read: of floats, or of 32 bits, nothing says which number is white."""
    from PIL.TiffImagePlugin import BITSPERSAMPLE, SAMPLEFORMAT, ImageFileDirectory_v2  # noqa: PLC0415 - rare

    file = io.BytesIO(data)
    try:
        tags = ImageFileDirectory_v2(file.read(16 if data[2:4] in {b"+\0", b"\0+"} else 8))
        file.seek(tags.next)
        tags.load(file)
        is_float, bits = 3 in tags.get(SAMPLEFORMAT, ()), max(tags.get(BITSPERSAMPLE, (1,)))
    except Exception:  # the tags are damaged too
        return None
    if not is_float and bits <= 16:
        return None
    return f"a TIFF of {bits}-bit {'floats' if is_float else 'numbers'}: save it with 8 or 16 bits a channel"


def _pixels_of_jpeg(data: bytes) -> int:
    markers = jpeg_markers(data)
    if markers.scans > MAX_SCANS:
        raise UnreadableImageError(f"more than {MAX_SCANS} scans")
    if not markers.whole:
        raise UnreadableImageError("truncated JPEG")
    return markers.pixels


def _decode_heif(data: bytes, kind: str) -> Pixels:
    """What phones write. OpenCV reads no HEIC, and does not turn an AVIF upright."""
    import pi_heif  # noqa: PLC0415 - few folders have such files; pillow-heif without its encoder, which is GPL
    from PIL import AvifImagePlugin, ImageOps  # noqa: PLC0415 - likewise

    try:
        if kind == "HEIC":
            picture = pi_heif.open_heif(data)  # lazily; eight bits a channel, turned by the file's own property
            _check_size(picture.size[0] * picture.size[1], kind)
        else:
            picture = AvifImagePlugin.AvifImageFile(io.BytesIO(data))
            _check_size(picture.width * picture.height, kind)
            ImageOps.exif_transpose(picture, in_place=True)
        return _three_channels(np.asarray(picture))
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # both parse boxes in Python: whatever is raised, the file is to blame
        raise UnreadableImageError(f"damaged {kind}") from error


def _three_channels(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Pixels:
    """A copy in which grey is repeated, and what is transparent lies on white."""
    # Grey of ten bits comes scaled to sixteen.
    eight = np.atleast_3d((pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8))
    color = eight if eight.shape[2] in {1, 3} else on_white(eight)
    return np.repeat(color, 3, axis=2) if color.shape[2] == 1 else np.ascontiguousarray(color)


def _check_size(pixels: int | None, kind: str) -> None:
    if not pixels:
        raise UnreadableImageError(f"damaged {kind}")
    if pixels > MAX_PIXELS:
        raise UnreadableImageError(f"more than {MAX_PIXELS:,} pixels")


def resize(image: Pixels, size: int) -> Pixels:
    """To (size, size, 3): stretched, as the report does; averaged over areas when shrinking, so nothing aliases."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinking = size < min(height, width)
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def read(path: Path, size: int, look: Look | None = None) -> Pixels:
    """One file as (size, size, 3) uint8 RGB: resized alone without `look`."""
    try:
        image = decode(read_bytes(path))
    except UnreadableImageError as error:
        raise UnreadableImageError(f"{path}: {error}") from error
    return look(path, image, size) if look else resize(image, size)


def read_many(
    paths: Sequence[Path], size: int, pool: ThreadPoolExecutor | None = None, look: Look | None = None
) -> Pixels:
    """Files as (n, size, size, 3) uint8 RGB, in the order given, decoded on all cores."""
    batch = np.empty((len(paths), size, size, 3), np.uint8)

    def place(index: int) -> None:
        batch[index] = read(paths[index], size, look)

    with ThreadPoolExecutor(machine.available_cpus()) if pool is None else nullcontext(pool) as workers:
        for _ in workers.map(place, range(len(paths))):
            pass
    return batch


def read_ahead(
    paths: Sequence[Path], size: int, batch_size: int, readers: int | None = None, look: Look | None = None
) -> Iterator[Pixels]:
    """Batches as read_many gives them; the next two are decoded while the caller works on one.

    Args:
        readers: threads that decode; one a core without it.
    """
    parts = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
    with ThreadPoolExecutor(readers or machine.available_cpus()) as pool, ThreadPoolExecutor(1) as ahead:
        coming = deque(ahead.submit(read_many, part, size, pool, look) for part in parts[:2])
        for following in parts[2:]:
            yield coming.popleft().result()
            coming.append(ahead.submit(read_many, following, size, pool, look))
        while coming:
            yield coming.popleft().result()
