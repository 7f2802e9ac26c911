"""The table of `realwaste predict`: each row is printed as soon as its prediction is there.

So the column widths are fixed before the first row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from realwaste.core.file_names import printable

_GAP = 2
_MIN_FIRST_WIDTH = 16  # characters, however narrow the terminal is


def max_width(texts: Iterable[str]) -> int:
    """Terminal cells that the widest text takes; 0 without texts."""
    return max((cell_len(printable(text)) for text in texts), default=0)


@dataclass(frozen=True)
class Column:
    """A column of a RowTable.

    Attributes:
        content_width: terminal cells of the widest cell.
        right: whether cells are aligned to the right, like numbers.
    """

    heading: str
    content_width: int = 0
    right: bool = False

    @property
    def width(self) -> int:
        """Terminal cells of the column."""
        return max(self.content_width, cell_len(self.heading))


class RowTable:
    """Prints rows to a console. On a narrow terminal the first column shrinks; text is folded, never cut."""

    def __init__(self, console: Console, columns: Sequence[Column]) -> None:
        self._console, self._columns = console, columns
        first, *rest = (column.width for column in columns)
        available = console.width - sum(rest) - _GAP * len(rest)
        self._widths = [max(_MIN_FIRST_WIDTH, min(first, available)), *rest]

    def print_header(self) -> None:
        """Print the headings and a line below them."""
        self.print_row([Text(column.heading, "bold") for column in self._columns])
        line = "-" if self._console.options.ascii_only else "─"
        self._console.print(line * min(self._console.width, sum(self._widths) + _GAP * (len(self._widths) - 1)))

    def print_row(self, cells: Sequence[Text]) -> None:
        """Print a row. It may have fewer cells than columns: the last cell takes the rest of the line."""
        grid, last = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False), len(cells) - 1
        for number, (column, width) in enumerate(zip(self._columns[: last + 1], self._widths, strict=False)):
            is_last = number == last
            right = column.right and not (is_last and number + 1 < len(self._columns))
            grid.add_column(
                width=None if is_last else width,
                min_width=width if right else None,
                justify="right" if right else "left",
                overflow="fold",
            )
        grid.add_row(*cells)
        self._console.print(grid, highlight=False)
