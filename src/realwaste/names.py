"""File names as they can be shown: on a terminal, where they may hold anything, and in JSON, which is Unicode."""

from pathlib import Path

_JOINERS = "\u200c\u200d"  # not printable by Python's rule, and part of words and of emoji


def printable(path: Path | str) -> str:
    """On one line; characters that steer a terminal or turn the text around are written as Python writes them."""
    return "".join(
        one if one.isprintable() or one in _JOINERS else one.encode("unicode_escape").decode() for one in str(path)
    )


def unicode(path: Path | str) -> str:
    """As it is; bytes that are no UTF-8, which Python keeps as lone surrogates, become U+FFFD."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
