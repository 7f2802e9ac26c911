"""A progress bar on standard error, where that is a terminal."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realwaste.core import log

_MIN_ITEMS = 8  # images, or batches of them: fewer take no time worth showing
Item = TypeVar("Item")


def track(
    items: Iterable[Item], total: int, description: str = "predicting", *, as_json: bool = False
) -> Iterator[Item]:
    """Yield the items, with a bar, the count and the time left while there are many and standard error is a terminal.

    Args:
        as_json: whether JSON is written meanwhile; the bar would overwrite it if both go to the same terminal.
    """
    if not log.console.is_terminal or total < _MIN_ITEMS or (as_json and sys.stdout.isatty()):
        yield from items
        return
    time_left = TextColumn("time left"), TimeRemainingColumn()
    columns = TextColumn(description), BarColumn(), MofNCompleteColumn(), *time_left
    # With redirect_stdout, Rich would send to standard error what is written to a pipe.
    with Progress(*columns, console=log.console, transient=True, redirect_stdout=False) as bar:
        yield from bar.track(items, total=total)
