"""Where a command's answers go, one by one: a table, JSON, a CSV file."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from realwaste.cli import predictions_csv, standard_output
from realwaste.cli.predict_view import T, View
from realwaste.cli.row_table import RowTable
from realwaste.core import log

Sink = Callable[[Any], None]


@contextmanager
def opened(
    view: View[T], *, width: int, as_json: bool, csv: Path | None, watching: bool
) -> Iterator[Callable[[T], None]]:
    """What takes an answer to the table or, `as_json`, to one JSON object, and to a CSV file.

    Args:
        width: characters of the widest file name.
        csv: the file, which comes to be when the block succeeds.
        watching: as there is no end, an answer is a JSON object of its own, and `csv` grows.
    """
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if csv:
            write = stack.enter_context(
                (predictions_csv.append_rows if watching else predictions_csv.write_rows)(csv, view.header())
            )
            sinks.append(lambda told: write(view.row(told)))
        if as_json and watching:
            sinks.append(lambda told: standard_output.line(view.record(told)))
        elif as_json:
            add = stack.enter_context(standard_output.listing(view.facts(), "answers"))
            sinks.append(lambda told: add(view.record(told)))
        else:
            table = RowTable(_console(), view.columns(width))
            table.head()
            sinks.append(lambda told: table.row(view.cells(told)))

        def tell(told: T) -> None:
            for sink in sinks:
                sink(told)

        yield tell


def _console() -> Console:
    """Where both outputs are a terminal, that which knows of the bar: rows stand above it."""
    return log.console if sys.stdout.isatty() and log.console.is_terminal else standard_output.console()
