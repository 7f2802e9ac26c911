"""File names as they can be shown: on a terminal, where they may hold anything, and in JSON, which is Unicode."""

import re
import unicodedata
from pathlib import Path

from realwaste.core.terminal import escaped


def printable(path: Path | str) -> str:
    """The name on one line; characters that steer a terminal or turn the text around are written as Python has them."""
    return escaped(str(path))


def unicode(path: Path | str) -> str:
    """The name as it is, but for bytes that are no UTF-8, which Python keeps as lone surrogates: they become U+FFFD."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def plain(text: str) -> str:
    """A file name made from a part of an address or path: never hidden, never `..`, 60 characters; "" of mere dots."""
    return re.sub(r"[^\w. -]+", "_", text)[-60:].lstrip("._ ").rstrip(". ")


def folded(name: str) -> str:
    """A form of the name that is equal for two names which differ by letter case or Unicode form alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
