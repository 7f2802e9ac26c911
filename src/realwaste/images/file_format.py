"""What an image file's bytes say before they are unpacked: its format, its size, and where a JPEG ends.

By hand, because a limit needs the size that the decoder will see: libraries that read headers take one of two sizes
that a file states (imagesize the later of two tags of a TIFF, libtiff the first), and none knows where a JPEG ends.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SIGNATURES = (
    ("JPEG", b"\xff\xd8\xff"),
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

_END, _SCAN = 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the three are tables
# The markers with a segment behind them, and the end: no stuffed zero, restart, start, filling or TEM.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_MOST_SEGMENTS = 10_000

_TIFF_MOST_TAGS = 4096  # libtiff's own limit
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323

_ISPE, _SIDES, _HEIF_HEAD = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL), struct.Struct(">II"), 100_000


def format_of(data: bytes) -> str | None:
    """JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or HEIC by their signatures; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        brands = {box[start : start + 4] for start in range(0, len(box), 4)}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIC" if brands & _HEIC_BRANDS else None
    return next((name for name, signature in _SIGNATURES if data.startswith(signature)), None)


def pixels_of(data: bytes, kind: str) -> int | None:
    """Width times height by the header of a PNG, GIF, BMP, TIFF or WebP file; None where it says none.

    Of a TIFF the first page's, or one tile's if that is larger.
    """
    reader = {"PNG": _png, "GIF": _gif, "BMP": _bmp, "TIFF": _tiff, "WebP": _webp}[kind]
    try:
        return reader(data)
    except struct.error:  # the file ends before that
        return None


def stated_pixels(data: bytes) -> int:
    """What decoding will cost, by the header of any of these formats; 0 where there is none that can be read."""
    kind = format_of(data)
    if kind in {"AVIF", "HEIC"}:
        sides = map(_SIDES.unpack, _ISPE.findall(data[:_HEIF_HEAD]))
        return max((width * height for width, height in sides), default=0)
    if kind == "JPEG":
        return jpeg_markers(data).pixels
    return pixels_of(data, kind) or 0 if kind else 0


@dataclass(frozen=True)
class JpegMarkers:
    """What the markers of a JPEG say.

    Attributes:
        pixels: width times height, the largest if it states several; 0 if it states none.
        scans: how often the decoder goes over the picture; about ten in a progressive file.
        whole: whether they lead from the start to an end-of-image marker. OpenCV fills what a cut file lacks with grey.
    """

    pixels: int
    scans: int
    whole: bool


def jpeg_markers(data: bytes) -> JpegMarkers:
    """Of a JPEG, up to its end, which must come within 10,000 segments; what follows it is not looked at.

    A search for the last end marker would not do: thumbnails have one of their own, and phones append videos, whose
    bytes may look like any marker.
    """
    pixels, scans = 0, 0
    for marker, place in _segments(data):
        if marker == _END:
            return JpegMarkers(pixels, scans, whole=True)
        if marker == _SCAN:
            scans += 1
        elif marker in _FRAMES and len(data) >= place + 7:
            height, width = struct.unpack_from(">HH", data, place + 3)
            pixels = max(pixels, width * height)
    return JpegMarkers(pixels, scans, whole=False)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Each marker and where its length stands. A scan's coded picture is passed over: it holds no marker by chance."""
    place = 2
    for _ in range(_MOST_SEGMENTS):
        found = _NEXT_MARKER.search(data, place)
        if found is None:
            return
        place = found.end()
        yield data[place - 1], place
        place += int.from_bytes(data[place : place + 2], "big")  # which counts itself


def _png(data: bytes) -> int:
    width, height = struct.unpack_from(">II", data, 16)
    return int(width * height)


def _gif(data: bytes) -> int:
    width, height = struct.unpack_from("<HH", data, 6)
    return int(width * height)


def _bmp(data: bytes) -> int:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(int(width * height))  # a negative height: from the top


def _webp(data: bytes) -> int | None:
    kind = data[12:16]
    if kind == b"VP8X":
        flags_to_height = struct.unpack_from("<I3s3s", data, 20)
        width, height = (int.from_bytes(side, "little") + 1 for side in flags_to_height[1:])
    elif kind == b"VP8L":
        (sides,) = struct.unpack_from("<I", data, 21)
        width, height = (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return width * height


def _tiff(data: bytes) -> int | None:
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    (directory,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    if directory > len(data):
        return None
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, directory)
    if count > _TIFF_MOST_TAGS:
        return None
    sides = dict.fromkeys((_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT), 0)
    first, step, value = (8, 20, 12) if big else (2, 12, 8)
    for entry in range(directory + first, directory + first + count * step, step):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in sides:
            if kind not in _TIFF_INTEGERS or (kind == 16 and not big):
                return None  # no writer does so, and libtiff may find a side there that we do not see
            (side,) = struct.unpack_from(order + _TIFF_INTEGERS[kind], data, entry + value)
            sides[tag] = max(sides[tag], int(side))
    return max(sides[_WIDTH] * sides[_HEIGHT], sides[_TILE_WIDTH] * sides[_TILE_HEIGHT]) or None
