"""Images and their labels from a CSV: path, label and, if it has one, split."""

import csv
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.sources.class_folders import ClassFolders, refuse_alike
from realwaste.sources.image_files import is_litter
from realwaste.sources.split_names import SAID, part_of

SUFFIX = ".csv"
_COLUMNS = ("path", "label", "split")
_SHOWN = 5


@dataclass(frozen=True)
class _Row:
    number: int
    path: str
    label: str
    split: str | None

    @property
    def part(self) -> str | None:
        """The part of the split that is meant."""
        return part_of(self.split or "")


def find(table: Path, *, learned: bool = True) -> ClassFolders:
    """The images that a table names, whose paths begin at its folder; further columns are passed over.

    Args:
        table: in UTF-8, with commas, and a header that names `path`, `label` and perhaps `split`.
        learned: as of class_folders.find.

    Raises:
        UserError: no such table, files that are not there, one with two labels or parts, a label that can name no
            folder or is like another, or one class alone.
    """
    rows = list(_rows(table))
    _check(table, rows)
    said: dict[Path, _Row] = {}
    others = []
    for row in rows:
        first = said.setdefault(Path(os.path.normpath(_file(table, row).absolute())), row)
        if (first.label, first.part) != (row.label, row.part):
            others.append(row)
    _refuse(table, others, "file must have one label and one part; these have another further up", "path")
    if len(said) < len(rows):
        logger.info("%d rows of %s name a file a second time, and count once", len(rows) - len(said), table.name)
    labels = sorted({row.label for row in said.values()})
    if len(labels) < (2 if learned else 1):
        rule = f"{table} must name images of {'two classes at least' if learned else 'a class'}."
        raise UserError(rule, "Add rows, one an image.", labels)
    known: dict[str, str] = {}
    for label in labels if learned else ():
        refuse_alike(known, label)
    files = {label: sorted(file for file, row in said.items() if row.label == label) for label in labels}
    parts = {file: row.part for file, row in said.items() if row.part is not None}
    return ClassFolders(Path(os.path.commonpath([file.parent for file in said])), files, parts)


def files(table: Path) -> list[Path]:
    """What a table names, whether it is there or not; see find."""
    return [_file(table, row) for row in _rows(table)]


def _check(table: Path, rows: list[_Row]) -> None:
    """Each row for itself."""
    named = (row for row in rows if not _is_folder_name(row.label))
    _refuse(table, named, "label must be able to name a folder", "label")
    _refuse(table, (row for row in rows if not _is_there(table, row)), "path must be a file that is there", "path")
    split = (row for row in rows if row.split is not None and row.part is None)
    _refuse(table, split, f"split must be {SAID}", "split")


def _rows(table: Path) -> Iterator[_Row]:
    remedy = "Write it as UTF-8 with commas, and a line such as `photos/1.jpg,Glass` an image."
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
            if not {"path", "label"} <= names.keys():
                rule = f"The first line of {table} must name the columns path, label and, if there is one, split."
                raise UserError(rule, remedy, list(reader.fieldnames or ()))
            path, label, split = (names.get(name) for name in _COLUMNS)
            for row in reader:
                if None in row:
                    rule = f"Line {reader.line_num} of {table} must have no more fields than the first."
                    raise UserError(rule, "Put what holds a comma in quotation marks.", row[None])
                part = None if split is None else row[split]
                yield _Row(reader.line_num, row[path].strip(), row[label].strip(), part)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{table} must be a table (CSV).", remedy, str(error)) from error


def _is_folder_name(label: str) -> bool:
    return label.isprintable() and bool(label) and not is_litter(label) and not {"/", "\\"} & set(label)


def _file(table: Path, row: _Row) -> Path:
    """The file that is meant: macOS writes names in another Unicode form (NFD) than most editors do (NFC)."""
    names = (row.path, *(unicodedata.normalize(form, row.path) for form in ("NFC", "NFD")))
    paths = [table.parent / name for name in names]
    return next((path for path in paths if os.path.isfile(path)), paths[0])  # noqa: PTH113 - False for a NUL


def _is_there(table: Path, row: _Row) -> bool:
    path = _file(table, row)
    return "\0" not in row.path and path.is_file() and not is_litter(path.name)


def _refuse(table: Path, rows: Iterable[_Row], rule: str, column: str) -> None:
    """Raise UserError where there are rows, naming the first few."""
    wrong = list(rows)
    if wrong:
        shown = ", ".join(f"{printable(str(getattr(row, column)))!r} in line {row.number}" for row in wrong[:_SHOWN])
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise UserError(f"In {table} each {rule}: {shown}{more}.", "Correct the table; paths begin at its own folder.")
