"""The format, the size and the end of an image file, from its bytes before they are decompressed.

Not by a library, because a limit must check the size that the decoder will use. A file may state two sizes, and
libraries differ in which one they read (imagesize the later of two TIFF tags, libtiff the first). None of them finds
the end of a JPEG.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"},
)
_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
# Of width and height, and their position.
_SIZE_LAYOUTS = {"PNG": (">II", 16), "GIF": ("<HH", 6), "BMP": ("<ii", 18), "BMP of OS/2": ("<HH", 18)}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}

_END, _SCAN = 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # these three are tables
# Markers that are followed by a segment, and the end marker; not stuffed zeros, restart, start, fill bytes or TEM.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_MAX_SEGMENTS = 10_000

_TIFF_MAX_TAGS = 4096  # libtiff's own limit
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323

_ISPE, _SIDES, _HEIF_HEAD = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL), struct.Struct(">II"), 100_000


def detect_format(data: bytes) -> str | None:
    """JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or HEIC, by the file's signature; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        brands = {box[start : start + 4] for start in range(0, len(box), 4)}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIC" if brands & _HEIC_BRANDS else None
    return next((name for name, signatures in _SIGNATURES.items() if data.startswith(signatures)), None)


def header_pixel_count(data: bytes, file_format: str) -> int | None:
    """Width times height in the header of a PNG, GIF, BMP, TIFF or WebP file; None if the header has no size.

    For a TIFF this is the first page, or a tile if that is larger.
    """
    try:
        if file_format in {"TIFF", "WebP"}:
            return _tiff(data) if file_format == "TIFF" else _webp(data)
        if file_format == "BMP" and struct.unpack_from("<I", data, 14) == (12,):
            file_format = "BMP of OS/2"
        layout, position = _SIZE_LAYOUTS[file_format]
        width, height = struct.unpack_from(layout, data, position)
        return abs(int(width * height))  # a negative height of a BMP: from the top
    except struct.error:  # the file ends before its size
        return None


def declared_pixel_count(data: bytes) -> int:
    """Width times height in the header of any supported format, as a measure of the decoding cost; 0 if unreadable."""
    file_format = detect_format(data)
    if file_format in {"AVIF", "HEIC"}:
        sides = map(_SIDES.unpack, _ISPE.findall(data[:_HEIF_HEAD]))
        return max((width * height for width, height in sides), default=0)
    if file_format == "JPEG":
        return read_jpeg_markers(data).pixels
    return header_pixel_count(data, file_format) or 0 if file_format else 0


@dataclass(frozen=True)
class JpegMarkers:
    """What the markers of a JPEG state.

    Attributes:
        pixels: width times height; the largest if several sizes are stated, 0 if none is.
        scans: the decoder's passes over the image; about ten in a progressive file.
        complete: whether the end-of-image marker was reached. OpenCV fills a missing part with grey.
    """

    pixels: int
    scans: int
    complete: bool


def read_jpeg_markers(data: bytes) -> JpegMarkers:
    """Read a JPEG's markers up to its end, which must come within 10,000 segments; later bytes are ignored.

    Searching for the last end marker would not work: a thumbnail has an end marker too, and phones append videos,
    whose bytes may look like any marker.
    """
    pixels, scans = 0, 0
    for marker, position in _segments(data):
        if marker == _END:
            return JpegMarkers(pixels, scans, complete=True)
        if marker == _SCAN:
            scans += 1
        elif marker in _FRAMES and len(data) >= position + 7:
            height, width = struct.unpack_from(">HH", data, position + 3)
            pixels = max(pixels, width * height)
    return JpegMarkers(pixels, scans, complete=False)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker and the position of its length. The coded data of a scan cannot contain a marker."""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _NEXT_MARKER.search(data, position)
        if match is None:
            return
        position = match.end()
        yield data[position - 1], position
        position += int.from_bytes(data[position : position + 2], "big")  # which counts itself


def _webp(data: bytes) -> int | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        flags_to_height = struct.unpack_from("<I3s3s", data, 20)
        width, height = (int.from_bytes(side, "little") + 1 for side in flags_to_height[1:])
    elif chunk == b"VP8L":
        (sides,) = struct.unpack_from("<I", data, 21)
        width, height = (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return width * height


def _tiff(data: bytes) -> int | None:
    byte_order = "<" if data.startswith(b"II") else ">"
    is_bigtiff = data[2:4] in (b"+\0", b"\0+")
    (ifd,) = struct.unpack_from(byte_order + ("Q" if is_bigtiff else "I"), data, 8 if is_bigtiff else 4)
    if ifd > len(data):
        return None
    (count,) = struct.unpack_from(byte_order + ("Q" if is_bigtiff else "H"), data, ifd)
    if count > _TIFF_MAX_TAGS:
        return None
    sides = dict.fromkeys((_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT), 0)
    first_entry, entry_size, value_offset = (8, 20, 12) if is_bigtiff else (2, 12, 8)
    for entry in range(ifd + first_entry, ifd + first_entry + count * entry_size, entry_size):
        tag, tag_type = struct.unpack_from(byte_order + "HH", data, entry)
        if tag in sides:
            if tag_type not in _TIFF_INTEGERS or (tag_type == 16 and not is_bigtiff):
                return None  # no writer does so, and libtiff may find a side there that we do not see
            (side,) = struct.unpack_from(byte_order + _TIFF_INTEGERS[tag_type], data, entry + value_offset)
            sides[tag] = max(sides[tag], int(side))
    return max(sides[_WIDTH] * sides[_HEIGHT], sides[_TILE_WIDTH] * sides[_TILE_HEIGHT]) or None
