"""How far a command is, for people who look at standard error."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realwaste.core import log

_FROM = 8  # images, or batches of them
Item = TypeVar("Item")


def shown(coming: Iterable[Item], total: int, said: str = "looking", *, as_json: bool = False) -> Iterator[Item]:
    """The same, with a bar, the count and the time left, where people look at standard error and there are many.

    JSON on the same terminal would run into it.
    """
    if not log.console.is_terminal or total < _FROM or (as_json and sys.stdout.isatty()):
        yield from coming
        return
    columns = (TextColumn(said), BarColumn(), MofNCompleteColumn(), TextColumn("time left"), TimeRemainingColumn())
    # Rich would send what is written to a pipe to standard error.
    with Progress(*columns, console=log.console, transient=True, redirect_stdout=False) as bar:
        yield from bar.track(coming, total=total)
