"""What is written of a photograph, for people, programs and spreadsheets: one model's answer, or those of several."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.text import Text

from realwaste.cli.predictions_csv import Value
from realwaste.cli.row_table import Column
from realwaste.models.remote_image import RemoteImage


class Told(Protocol):
    """Of one photograph."""

    @property
    def error(self) -> str | None:
        """Why there is no answer."""


T = TypeVar("T", bound=Told)


class View(Protocol[T]):
    """realwaste.cli.predict_one_model or side_by_side."""

    def answers(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[T]:
        """One a path, as they come."""

    def facts(self) -> dict[str, Any]:
        """For JSON: what is to be known beside the answers."""

    def record(self, told: T) -> dict[str, Any]:
        """An answer for JSON."""

    def columns(self, files: int) -> list[Column]:
        """Of the table; `files` is the width of the widest file name."""

    def cells(self, told: T) -> list[Text]:
        """A row of the table."""

    def header(self) -> list[str]:
        """Of the CSV file."""

    def row(self, told: T) -> Sequence[Value]:
        """A row of the CSV file."""
