"""Answers for a spreadsheet: one row a file, in a CSV file (RFC 4180) that grows as they come.

In UTF-8 with a byte-order mark, without which Excel takes it for another encoding; readers of UTF-8 pass over it, as
pandas does, or Python with `utf-8-sig`.
"""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

from realwaste.cli import output_options
from realwaste.cli.output_options import Kind
from realwaste.core import files
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable, unicode
from realwaste.core.log import logger

PART = ".part"
Value = str | float | bool | None  # whole numbers too
Write = Callable[[Sequence[Value]], None]
_ENCODING = "utf-8-sig"
_HEAD_BYTES = 1 << 16  # in which the header ends
_SPECIAL = re.compile(r'[",;\t\r\n]|^\s|\s$')
# What spreadsheets take for the beginning of a formula, the full-width forms in Japanese ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def is_answers(file: Path) -> bool:
    """Whether a file is a table of answers, by its columns."""
    columns = header_of(file)
    return columns[:1] == ["path"] and columns[-1:] == ["error"] and any(one.endswith("class") for one in columns)


def header_of(file: Path) -> list[str]:
    """The first row of a file that may be none of CSV; empty then."""
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES).decode(_ENCODING, "replace")
    try:
        return next(csv.reader(io.StringIO(head, newline="")), [])
    except csv.Error:
        return []


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows below the header, by their columns."""
    with file.open(encoding=_ENCODING, errors="replace", newline="") as opened:
        return list(csv.DictReader(opened))


ANSWERS = Kind("the answers of an earlier run", is_answers)


def check(file: Path, photographs: Sequence[Path], arguments: Sequence[str] = (), kind: Kind = ANSWERS) -> None:
    """As outputs.check_file, of --csv and of the file that its rows come to first.

    Raises:
        UserError: as of outputs.check_file.
    """
    output_options.check_file("--csv", file, kind, arguments, photographs)
    output_options.check_file("--csv", _part(file), kind, arguments, photographs)


def alone(file: Path) -> AbstractContextManager[None]:
    """Keep other runs from writing the same file meanwhile.

    Raises:
        UserError: another run writes it.
    """
    return files.locked(file.resolve(), 0, "Wait for the other run, or name another file.")


@contextmanager
def written(file: Path, header: Sequence[str], kind: Kind = ANSWERS) -> Iterator[Write]:
    """Write rows to <file>.part, each as it comes; that takes the place of `file` when the block succeeds.

    What came of a run that broke off stays in <file>.part, row by row whole, until the next run.
    """
    part, real = _part(file), file.resolve()
    try:
        with part.open("w", encoding=_ENCODING, newline="") as opened:
            yield _writer(opened, header)
        files.refuse_to_replace(real, kind.may_replace)
    except BaseException:  # Ctrl-C too
        logger.warning("the rows that came until now are in %s", printable(part))
        raise
    part.replace(real)


@contextmanager
def appended(file: Path, header: Sequence[str]) -> Iterator[Write]:
    """Write rows behind those of `file`, each as it comes; the header first where there is no file.

    Raises:
        UserError: `file` has other columns.
    """
    if not file.exists() or not file.stat().st_size:
        with file.open("w", encoding=_ENCODING, newline="") as opened:
            yield _writer(opened, header)
        return
    found = header_of(file)
    if found != list(header):
        rule = f"--csv with --watch adds rows to {printable(file)}, which must have the columns {','.join(header)}."
        raise UserError(rule, "Name another file.", ",".join(found))
    end = _end_of_torn_row(file)
    with file.open("a", encoding="utf-8", newline="") as opened:
        opened.write(end)
        yield _writer(opened)


def paths_in(file: Path) -> set[str]:
    """The first column of whole rows, the header's too: what `appended` has written before; empty without a file."""
    if not file.exists():
        return set()
    cells = len(header_of(file))
    with file.open(encoding=_ENCODING, errors="replace", newline="") as opened:
        return {row[0] for row in csv.reader(opened) if row and len(row) == cells}


def _end_of_torn_row(file: Path) -> str:
    """What ends the last row, where the run that wrote it was killed in it; a quote too, if one is open."""
    probe, last = "end of the table", []
    with file.open(encoding=_ENCODING, errors="replace", newline="") as opened:
        for row in csv.reader(chain(opened, ["\n", probe])):
            last = row
    if last != [probe]:
        return '"\n'
    with file.open("rb") as read:
        read.seek(-1, os.SEEK_END)
        return "" if read.read() == b"\n" else "\n"


def path_cell(name: str) -> str:
    """A path as it was given; `./` before one that a spreadsheet would take for a formula, which leads to it too."""
    text = unicode(name)
    return f"./{text}" if text.startswith(_FORMULA) and text != "-" else text


def _part(file: Path) -> Path:
    """Beside what a link leads to, which stays a link."""
    real = file.resolve()
    return real.with_name(f"{real.name}{PART}")


def _writer(opened: TextIO, header: Sequence[str] | None = None) -> Write:
    def write(values: Sequence[Value]) -> None:
        opened.write(",".join(_quoted(_cell(value)) for value in values) + "\n")
        opened.flush()

    if header is not None:
        write(header)
    return write


def _quoted(cell: str) -> str:
    """In quotes where a reader could take the cell for several: some take a semicolon for the end of a cell."""
    return '"{}"'.format(cell.replace('"', '""')) if _SPECIAL.search(cell) else cell


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = unicode(value)
    return f"'{text}" if text.startswith(_FORMULA) and text != "-" else text
