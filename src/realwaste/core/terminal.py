"""Text from anywhere, such as names in a model file, made safe for a terminal: no character in it steers one."""

import unicodedata
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_JOINERS = "\u200c\u200d"  # not printable by Python's rule, and part of words and of emoji


def escaped(text: str, keep: str = "") -> str:
    """The text with control characters, and those that turn text around, written as Python writes them.

    Args:
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in _JOINERS or one in keep else one.encode("unicode_escape").decode()
        for one in text
    )


def escaped_lines(text: str) -> str:
    """Of a text of several lines: line ends, tabs and spaces of every kind stay."""
    return escaped(text, keep="\n\t" + "".join({one for one in text if unicodedata.category(one) == "Zs"}))


class SafeConsole(Console):
    """A console that escapes every text that it prints; its own colours and movements are no text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As of Console."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escaped_lines(segment.text), segment.style)
