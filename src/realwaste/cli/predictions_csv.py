"""CSV files of predictions: a row per photograph, written as soon as its prediction is there."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

from realwaste.cli import output_options
from realwaste.cli.output_options import OutputKind
from realwaste.core import files
from realwaste.core.csv_rows import ENCODING, Value, format_row
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.log import logger

Write = Callable[[Sequence[Value]], None]
_MAX_HEADER_BYTES = 1 << 16


def is_predictions(file: Path) -> bool:
    """Whether a file has the columns of a table of predictions."""
    columns = read_header(file)
    return columns[:1] == ["path"] and columns[-1:] == ["error"] and any(name.endswith("class") for name in columns)


def read_header(file: Path) -> list[str]:
    """The first row of a file; empty if it is not a CSV file."""
    with file.open("rb") as stream:
        head = stream.read(_MAX_HEADER_BYTES).decode(ENCODING, "replace")
    try:
        return next(csv.reader(io.StringIO(head, newline="")), [])
    except csv.Error:
        return []


PREDICTIONS = OutputKind("the predictions of an earlier run", is_predictions)


def check_csv(
    file: Path, photographs: Sequence[Path], arguments: Sequence[str] = (), kind: OutputKind = PREDICTIONS
) -> None:
    """Check --csv, and the temporary file <file>.part, with output_options.check_file."""
    output_options.check_file("--csv", file, kind, arguments, photographs)
    output_options.check_file("--csv", _part(file), kind, arguments, photographs)


def lock(file: Path) -> AbstractContextManager[None]:
    """Prevent other runs from writing the same file; UserError if another run is writing it."""
    return files.exclusive_lock(file.resolve(), 0, "Wait for the other run, or name another file.")


@contextmanager
def write_rows(file: Path, header: Sequence[str], kind: OutputKind = PREDICTIONS) -> Iterator[Write]:
    """Write rows to <file>.part, which is renamed to `file` when the block succeeds.

    If the run is interrupted, <file>.part keeps the complete rows until the next run.
    """
    part, real = _part(file), file.resolve()
    try:
        with part.open("w", encoding=ENCODING, newline="") as stream:
            yield _writer(stream, header)
        files.refuse_to_replace(real, kind.may_replace)
    except BaseException:  # Ctrl-C too
        logger.warning("the rows written so far are in %s", printable(part))
        raise
    part.replace(real)


@contextmanager
def append_rows(file: Path, header: Sequence[str]) -> Iterator[Write]:
    """Append rows to `file`, which is started with the header if it is new; UserError if it has other columns."""
    is_new = not file.exists() or not file.stat().st_size
    columns = list(header) if is_new else read_header(file)
    if columns != list(header):
        rule = f"--csv with --watch adds rows to {printable(file)}, which must have the columns {','.join(header)}."
        raise UserError(rule, "Name another file.", ",".join(columns))
    ending = "" if is_new else _missing_row_end(file)
    with file.open("a", encoding=ENCODING, newline="") as stream:  # the byte-order mark is written only to a new file
        stream.write(ending)
        yield _writer(stream, header if is_new else ())


def read_paths(file: Path) -> set[str]:
    """The first cells of all complete rows, including the header; empty if there is no file."""
    if not file.exists():
        return set()
    width = len(read_header(file))
    with file.open(encoding=ENCODING, errors="replace", newline="") as stream:
        return {row[0] for row in csv.reader(stream) if row and len(row) == width}


def _missing_row_end(file: Path) -> str:
    """What completes the last row if the run that wrote it was killed: a line end, after a quote if one is open."""
    probe, last_row = "end of the table", []
    with file.open(encoding=ENCODING, errors="replace", newline="") as stream:
        for row in csv.reader(chain(stream, ["\n", probe])):
            last_row = row
    if last_row != [probe]:
        return '"\n'
    with file.open("rb") as data:
        data.seek(-1, os.SEEK_END)
        return "" if data.read() == b"\n" else "\n"


def _part(file: Path) -> Path:
    """<file>.part; of a link, beside its target, so that the link stays."""
    real = file.resolve()
    return real.with_name(f"{real.name}.part")


def _writer(stream: TextIO, header: Sequence[str] = ()) -> Write:
    def write(values: Sequence[Value]) -> None:
        stream.write(format_row(values))
        stream.flush()

    if header:
        write(header)
    return write
