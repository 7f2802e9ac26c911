"""Where `realwaste predict` writes its predictions, one by one: a table, JSON, a CSV file."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.text import Text

from realwaste.cli import predictions_csv, standard_output
from realwaste.cli.predict_table import Column, RowTable
from realwaste.cli.predictions_csv import Value
from realwaste.core import log
from realwaste.models.remote_image import RemoteImage


class PhotoResult(Protocol):
    """The result for one photograph."""

    @property
    def error(self) -> str | None:
        """Why there is no prediction; None if there is one."""


T = TypeVar("T", bound=PhotoResult)


class Predictor(Protocol[T]):
    """Predicts photographs and formats the results: predict_one_model.OneModel or predict_all_models.AllModels."""

    def predict_paths(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[T]:
        """Yield a result per path, as soon as it is there."""

    def json_header(self) -> dict[str, Any]:
        """What stands beside the predictions in JSON."""

    def json_record(self, result: T) -> dict[str, Any]:
        """A result for JSON."""

    def table_columns(self, name_width: int) -> list[Column]:
        """The columns of the table; `name_width` is that of the widest file name."""

    def table_cells(self, result: T) -> list[Text]:
        """A row of the table."""

    def csv_header(self) -> list[str]:
        """The columns of the CSV file."""

    def csv_row(self, result: T) -> Sequence[Value]:
        """A row of the CSV file."""


@contextmanager
def open_outputs(
    predictor: Predictor[T], *, name_width: int, as_json: bool, csv: Path | None, watching: bool
) -> Iterator[Callable[[T], None]]:
    """Yield a function that writes a result to the table, or as JSON, and to a CSV file.

    Args:
        name_width: terminal cells of the widest file name.
        as_json: write one JSON object instead of the table.
        csv: the CSV file, if any; it is there when the block has succeeded.
        watching: the run has no end: each result is a JSON object on a line, and rows are appended to `csv`.
    """
    with ExitStack() as stack:
        writers: list[Callable[[T], None]] = []
        if csv:
            open_csv = predictions_csv.append_rows if watching else predictions_csv.write_rows
            write_row = stack.enter_context(open_csv(csv, predictor.csv_header()))
            writers.append(lambda result: write_row(predictor.csv_row(result)))
        if as_json and watching:
            writers.append(lambda result: standard_output.line(predictor.json_record(result)))
        elif as_json:
            add = stack.enter_context(standard_output.listing(predictor.json_header(), "answers"))
            writers.append(lambda result: add(predictor.json_record(result)))
        else:
            table = RowTable(_console(), predictor.table_columns(name_width))
            table.print_header()
            writers.append(lambda result: table.print_row(predictor.table_cells(result)))

        def write(result: T) -> None:
            for writer in writers:
                writer(result)

        yield write


def _console() -> Console:
    """If both streams are terminals, the console of the progress bar, so that rows are printed above the bar."""
    return log.console if sys.stdout.isatty() and log.console.is_terminal else standard_output.console()
