"""Answers for a spreadsheet: one row a file, in a CSV file (RFC 4180) that grows as they come.

In UTF-8 with a byte-order mark, without which Excel takes it for another encoding; readers of UTF-8 pass over it, as
pandas does, or Python with `utf-8-sig`.
"""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.sources.file_names import printable, unicode

PART = ".part"
Value = str | float | bool | None
Write = Callable[[Sequence[Value]], None]
_ENCODING = "utf-8-sig"
# What spreadsheets take for the beginning of a formula, the full-width forms in Japanese ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def check(file: Path, photographs: Sequence[Path]) -> None:
    """Make the folder of `file`, without waiting for a model.

    Raises:
        UserError: it is no name for a file that can be written, or that of a photograph.
    """
    part = _part(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and not file.is_file():
            raise IsADirectoryError(0, "something else is there")
        kept = part.exists()  # what came of a run that broke off
        with part.open("a"):
            pass
        if not kept:
            part.unlink()
    except OSError as error:
        rule = f"--csv must name a file that can be written, and {printable(file)} is none."
        raise UserError(rule, "Give another.", error.strerror) from None
    if file.exists() and any(path.exists() and file.samefile(path) for path in photographs):
        raise UserError("--csv must name another file than the photographs.", "Give another.", str(file))


@contextmanager
def written(file: Path, header: Sequence[str]) -> Iterator[Write]:
    """Write rows to <file>.part, each as it comes; that takes the place of `file` when the block succeeds.

    What came of a run that broke off stays in <file>.part, row by row whole, until the next run.
    """
    part = _part(file)
    try:
        with part.open("w", encoding=_ENCODING, newline="") as opened:
            yield _writer(opened, header)
    except BaseException:  # Ctrl-C too
        logger.warning("the rows that came until now are in %s", printable(part))
        raise
    part.replace(file.resolve())


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
    with file.open(encoding=_ENCODING, errors="replace", newline="") as opened:
        found = next(csv.reader(opened), [])
    if found != list(header):
        rule = f"--csv with --watch adds rows to {printable(file)}, which must have the columns {','.join(header)}."
        raise UserError(rule, "Name another file.", ",".join(found))
    with file.open("rb") as read:
        read.seek(-1, os.SEEK_END)
        torn = read.read() != b"\n"
    with file.open("a", encoding="utf-8", newline="") as opened:
        if torn:
            opened.write("\n")
        yield _writer(opened)


def paths_in(file: Path) -> set[str]:
    """The first column of `file`, below its header: what `appended` has written before; empty where there is none."""
    if not file.exists():
        return set()
    with file.open(encoding=_ENCODING, errors="replace", newline="") as opened:
        return {row[0] for row in csv.reader(opened) if row}


def path_cell(name: str) -> str:
    """A path as it was given; `./` before one that a spreadsheet would take for a formula, which leads to it too."""
    text = unicode(name)
    return f"./{text}" if text.startswith(_FORMULA) and text != "-" else text


def _part(file: Path) -> Path:
    """Beside what a link leads to, which stays a link."""
    real = file.resolve()
    return real.with_name(f"{real.name}{PART}")


def _writer(opened: TextIO, header: Sequence[str] | None = None) -> Write:
    rows = csv.writer(opened, lineterminator="\n")

    def write(values: Sequence[Value]) -> None:
        rows.writerow([_cell(value) for value in values])
        opened.flush()

    if header is not None:
        write(header)
    return write


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = unicode(value)
    return f"'{text}" if text.startswith(_FORMULA) and text != "-" else text
