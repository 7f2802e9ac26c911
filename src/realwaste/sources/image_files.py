"""Names of files in folders of photographs: which are images, and which are litter of operating systems."""

from pathlib import Path

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"},
)
LITTER = frozenset({"__MACOSX", "Thumbs.db"})  # what macOS packs beside the files of a zip, and what Windows leaves


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name. Whether its bytes are one is the reader's question."""
    return path.suffix.lower() in SUFFIXES


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is passed over: hidden ones too, such as .DS_Store and ._photo.jpg."""
    return name.startswith(".") or name in LITTER
