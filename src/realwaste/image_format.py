"""What the first bytes of an image file say: its format, its size, and whether a JPEG is all there."""

import io
import re

import imagesize

_SIGNATURES = (
    ("JPEG", b"\xff\xd8"),
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("GIF", b"GIF8"),
    ("BMP", b"BM"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("TIFF", b"II+\0"),
    ("TIFF", b"MM\0+"),
)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_SCAN, _END, _START = 0xDA, 0xD9, 0xD8
# A marker inside a scan: neither a stuffed zero, nor a restart, nor filling.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def format_of(data: bytes) -> str | None:
    """JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or HEIC by their signatures; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        brands = {box[start : start + 4] for start in range(0, len(box), 4)}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIC" if brands & _HEIC_BRANDS else None
    return next((name for name, signature in _SIGNATURES if data.startswith(signature)), None)


def pixels_of(data: bytes) -> int | None:
    """Width times height by the header of a JPEG, PNG, GIF, BMP, TIFF or WebP file; None where it says none."""
    width, height = imagesize.get(io.BytesIO(data))
    if (width, height) == (-1, -1):
        return None
    # imagesize 2.0 reads a GIF's sides from 32,768 on as negative numbers.
    return int(width % 0x10000 if width < 0 else width) * int(height % 0x10000 if height < 0 else height)


def is_whole_jpeg(data: bytes) -> bool:
    """Whether the markers lead from the start to an end-of-image marker; what follows that one is not looked at.

    OpenCV fills what a cut file lacks with grey. A search for the last end marker would do neither: thumbnails have
    one of their own, and phones append videos, whose bytes may look like any marker.
    """
    place = 2
    while (found := _NEXT_MARKER.search(data, place)) is not None:
        marker, place = data[found.start() + 1], found.end()
        if marker == _END:
            return True
        if marker != _START:
            # Its length counts itself. After a scan's header the coded picture follows, up to the next marker.
            place += int.from_bytes(data[place : place + 2], "big")
    return False
