"""Text of unknown origin, such as names in a model file, made safe to print on a terminal."""

import unicodedata
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_JOINERS = "\u200c\u200d"  # not printable by Python's rule, but part of words and of emoji


def escape(text: str, keep: str = "") -> str:
    """The text with control characters, and those that change its direction, written as Python escapes.

    Args:
        keep: characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _JOINERS or char in keep else char.encode("unicode_escape").decode()
        for char in text
    )


def escape_lines(text: str) -> str:
    """Like `escape`, for text of several lines: line ends, tabs and all kinds of spaces stay."""
    return escape(text, keep="\n\t" + "".join({char for char in text if unicodedata.category(char) == "Zs"}))


class SafeConsole(Console):
    """A console that escapes all text that it prints, but not its own control codes for colours and cursor moves."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Overrides Console.render."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escape_lines(segment.text), segment.style)
