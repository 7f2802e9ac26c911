"""The only image reader: validation, training and prediction get the same pixels."""

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
from realwaste.images.file_format import detect_format, header_pixel_count, read_jpeg_markers
from realwaste.images.transparency import composite_on_white, decode_transparent

Pixels = NDArray[np.uint8]
# (path, RGB image of any size, size) → the image as (size, size, 3).
ImageTransform = Callable[[Path, Pixels, int], Pixels]

MAX_PIXELS = 200_000_000  # a small file may decompress to any size
MAX_BYTES = 4 * MAX_PIXELS  # such an image uncompressed, with transparency
MAX_SCANS = 100  # of a progressive JPEG: an empty scan of 300 bytes still costs a pass over the whole image

# decode_image raises the reason for a damaged file, so OpenCV's log is off. The line that libjpeg or libpng writes to
# standard error for such a file cannot be turned off.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class UnreadableImageError(Exception):
    """The bytes are not an image that can be read completely; the message is the reason."""


def read_bytes(path: Path) -> bytes:
    """Read a file that may be an image.

    Raises:
        UnreadableImageError: not a regular file (a pipe or /dev/zero would never end), or larger than MAX_BYTES.
        OSError: the file cannot be opened.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImageError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise UnreadableImageError(f"more than {MAX_BYTES:,} bytes")
    with path.open("rb") as file:
        return file.read(status.st_size)  # not more, even if the file grows


def decode_image(data: bytes) -> Pixels:
    """Decode the bytes of an image file to RGB, uint8, (height, width, 3), rotated by its EXIF orientation.

    Transparent pixels are composited on white. The header's size is checked before anything is decompressed.

    Raises:
        UnreadableImageError: the message is the reason.
    """
    if not data:
        raise UnreadableImageError("empty file")
    file_format = detect_format(data)
    if file_format is None:
        raise UnreadableImageError("not an image")
    try:
        return _decode_heif(data, file_format) if file_format in {"HEIC", "AVIF"} else _decode(data, file_format)
    except MemoryError as error:
        raise UnreadableImageError("not enough memory to decode it") from error


def _decode(data: bytes, file_format: str) -> Pixels:
    is_jpeg = file_format == "JPEG"
    _check_size(_jpeg_pixel_count(data) if is_jpeg else header_pixel_count(data, file_format), file_format)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        rgba = None if is_jpeg or image is None else decode_transparent(data, file_format, image.shape)
    except MemoryError:
        raise
    except Exception as error:  # of OpenCV, or any that Pillow raises for a damaged file
        if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise UnreadableImageError(f"damaged {file_format}") from error
    if image is None:
        reason = _explain_unreadable_tiff(data) if file_format == "TIFF" else None
        raise UnreadableImageError(reason or f"damaged {file_format}")
    return image.astype(np.uint8, copy=False) if rgba is None else composite_on_white(rgba)


def _explain_unreadable_tiff(data: bytes) -> str | None:
    """The reason if a TIFF holds floats or 32-bit numbers, whose value for white is unknown; else None."""
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


def _jpeg_pixel_count(data: bytes) -> int:
    markers = read_jpeg_markers(data)
    if markers.scans > MAX_SCANS:
        raise UnreadableImageError(f"more than {MAX_SCANS} scans")
    if not markers.complete:
        raise UnreadableImageError("truncated JPEG")
    return markers.pixels


def _decode_heif(data: bytes, file_format: str) -> Pixels:
    """Decode the formats of phones: OpenCV reads no HEIC and ignores the orientation of an AVIF."""
    import pi_heif  # noqa: PLC0415 - rarely needed; pillow-heif without its encoder, which is GPL
    from PIL import AvifImagePlugin, ImageOps  # noqa: PLC0415 - rarely needed

    try:
        if file_format == "HEIC":
            picture = pi_heif.open_heif(data)  # lazily; with eight bits a channel and the file's rotation
            _check_size(picture.size[0] * picture.size[1], file_format)
        else:
            picture = AvifImagePlugin.AvifImageFile(io.BytesIO(data))
            _check_size(picture.width * picture.height, file_format)
            ImageOps.exif_transpose(picture, in_place=True)
        return _to_rgb(np.asarray(picture))
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # both parse the file in Python: any exception means a damaged file
        raise UnreadableImageError(f"damaged {file_format}") from error


def _to_rgb(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Pixels:
    """A copy as RGB: grey is repeated, transparent pixels are composited on white."""
    # Ten-bit grey arrives scaled to sixteen bits.
    eight_bits = np.atleast_3d((pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8))
    color = eight_bits if eight_bits.shape[2] in {1, 3} else composite_on_white(eight_bits)
    return np.repeat(color, 3, axis=2) if color.shape[2] == 1 else np.ascontiguousarray(color)


def _check_size(pixels: int | None, file_format: str) -> None:
    if not pixels:
        raise UnreadableImageError(f"damaged {file_format}")
    if pixels > MAX_PIXELS:
        raise UnreadableImageError(f"more than {MAX_PIXELS:,} pixels")


def resize_image(image: Pixels, size: int) -> Pixels:
    """Resize to (size, size, 3): stretched, as in the report; by area averages when shrinking, to avoid aliasing."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinking = size < min(height, width)
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def read_image(path: Path, size: int, transform: ImageTransform | None = None) -> Pixels:
    """Read one file as (size, size, 3) uint8 RGB, by `transform` or else by resize_image.

    Raises:
        UnreadableImageError: the message names the file and the reason.
    """
    try:
        image = decode_image(read_bytes(path))
    except UnreadableImageError as error:
        raise UnreadableImageError(f"{path}: {error}") from error
    return transform(path, image, size) if transform else resize_image(image, size)


def read_images(
    paths: Sequence[Path], size: int, pool: ThreadPoolExecutor | None = None, transform: ImageTransform | None = None
) -> Pixels:
    """Read files as (n, size, size, 3) uint8 RGB, in the order of `paths`, on all cores or in the threads of `pool`."""
    batch = np.empty((len(paths), size, size, 3), np.uint8)

    def read_into_batch(index: int) -> None:
        batch[index] = read_image(paths[index], size, transform)

    with ThreadPoolExecutor(machine.available_cpus()) if pool is None else nullcontext(pool) as workers:
        for _ in workers.map(read_into_batch, range(len(paths))):
            pass
    return batch


def prefetch_batches(
    paths: Sequence[Path],
    size: int,
    batch_size: int,
    readers: int | None = None,
    transform: ImageTransform | None = None,
) -> Iterator[Pixels]:
    """Yield batches like read_images; the next two are decoded while the caller works on one.

    `readers` is the number of decoding threads; None means one a core.
    """
    parts = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
    with ThreadPoolExecutor(readers or machine.available_cpus()) as pool, ThreadPoolExecutor(1) as prefetcher:
        pending = deque(prefetcher.submit(read_images, part, size, pool, transform) for part in parts[:2])
        for paths_ahead in parts[2:]:
            yield pending.popleft().result()
            pending.append(prefetcher.submit(read_images, paths_ahead, size, pool, transform))
        while pending:
            yield pending.popleft().result()


def shrink_to(image: Pixels, max_side: int) -> Pixels:
    """Shrink an image so that its longer side has at most `max_side` pixels; a smaller one is returned unchanged."""
    height, width = image.shape[:2]
    factor = max_side / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
