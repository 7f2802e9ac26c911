"""File names made safe: for a terminal, for JSON, as names of new files, and for comparison."""

import re
import unicodedata
from pathlib import Path

from realwaste.core.terminal import escape


def printable(path: Path | str) -> str:
    """The name on one line; control characters and those that change the text's direction are written as escapes."""
    return escape(str(path))


def to_unicode(path: Path | str) -> str:
    """The name as valid Unicode: bytes that are not UTF-8, which Python reads as lone surrogates, become U+FFFD."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def safe_file_name(text: str) -> str:
    """A file name from part of an address or path: at most 60 characters, not hidden, not `..`; "" for dots only."""
    return re.sub(r"[^\w. -]+", "_", text)[-60:].lstrip("._ ").rstrip(". ")


def fold_name(name: str) -> str:
    """A form of the name that is the same for names that differ only in letter case or Unicode normalization."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
