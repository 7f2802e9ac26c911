"""A table whose rows are printed as they come: its columns' widths are known before, as far as they can be."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2
_LEAST = 16  # characters of the first column, however narrow the terminal


@dataclass(frozen=True)
class Column:
    """A heading, the characters of the widest cell, and whether cells stand at the right, as numbers do."""

    heading: str
    width: int = 0
    right: bool = False

    @property
    def characters(self) -> int:
        """Of the column."""
        return max(self.width, cell_len(self.heading))


class RowTable:
    """Rows on a console. The first column gives way where the terminal is narrow; cells are folded, never cut."""

    def __init__(self, console: Console, columns: Sequence[Column]) -> None:
        self._console, self._columns = console, columns
        first, *others = (column.characters for column in columns)
        room = console.width - sum(others) - _GAP * len(others)
        self._widths = [max(_LEAST, min(first, room)), *others]

    def head(self) -> None:
        """Print the headings and a line below them."""
        self.row([Text(column.heading, "bold") for column in self._columns])
        line = "-" if self._console.options.ascii_only else "─"
        self._console.print(line * min(self._console.width, sum(self._widths) + _GAP * (len(self._widths) - 1)))

    def row(self, cells: Sequence[Text]) -> None:
        """Print a row; the last of its cells has the rest of the line, however few there are."""
        grid, last = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False), len(cells) - 1
        for number, (column, width) in enumerate(zip(self._columns[: last + 1], self._widths, strict=False)):
            at_end = number == last
            right = column.right and not (at_end and number + 1 < len(self._columns))
            grid.add_column(
                width=None if at_end else width,
                min_width=width if right else None,
                justify="right" if right else "left",
                overflow="fold",
            )
        grid.add_row(*cells)
        self._console.print(grid, highlight=False)
