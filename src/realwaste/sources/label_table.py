"""Reads images and labels from a CSV file with the columns path, label and optionally split.

With the module csv, because pandas takes the first field of a first row that is too long for an index.
"""

import csv
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from realwaste.core.errors import UserError, list_examples
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.sources.class_folders import PART_NAMES, ClassFolders, parse_part, refuse_similar_names
from realwaste.sources.image_files import is_hidden_or_system

SUFFIX = ".csv"


@dataclass(frozen=True)
class _Row:
    """A row of the table; `part` is what the column `split` means."""

    number: int
    path: str
    file: Path
    label: str
    split: str | None
    part: str | None


def find(table: Path, *, for_training: bool = True) -> ClassFolders:
    """The images that a table names. Paths are relative to the table's folder; other columns are ignored.

    Args:
        for_training: see class_folders.find.

    Raises:
        UserError: the table is invalid, a file does not exist, a file has two labels or parts, a label cannot be a
            folder name or is similar to another, or there is only one class.
    """
    rows = list(_read_rows(table))
    _check_rows(table, rows)
    row_of_file: dict[Path, _Row] = {}
    conflicting = []
    for row in rows:
        first_row = row_of_file.setdefault(Path(os.path.normpath(row.file.absolute())), row)
        if (first_row.label, first_row.part) != (row.label, row.part):
            conflicting.append(row)
    _refuse(table, conflicting, "file must have one label and one split; these contradict an earlier line", "path")
    if len(row_of_file) < len(rows):
        logger.info("%d rows of %s name a file a second time, and count once", len(rows) - len(row_of_file), table.name)
    labels = sorted({row.label for row in row_of_file.values()})
    if len(labels) < (2 if for_training else 1):
        rule = f"{table} must name images of {'two classes at least' if for_training else 'a class'}."
        raise UserError(rule, "Add rows, one per image.", labels)
    class_names: dict[str, str] = {}
    for label in labels if for_training else ():
        refuse_similar_names(class_names, label)
    files = {label: sorted(file for file, row in row_of_file.items() if row.label == label) for label in labels}
    parts = {file: row.part for file, row in row_of_file.items() if row.part is not None}
    return ClassFolders(Path(os.path.commonpath([file.parent for file in row_of_file])), files, parts)


def named_files(table: Path) -> list[Path]:
    """The files that a table names, whether or not they exist; see `find`."""
    return [row.file for row in _read_rows(table)]


def _check_rows(table: Path, rows: list[_Row]) -> None:
    """Raise UserError for rows that are invalid by themselves."""
    bad_labels = [row for row in rows if not _is_folder_name(row.label)]
    _refuse(table, bad_labels, "label must be able to name a folder", "label")
    missing = [row for row in rows if not (_is_file(row.file) and not is_hidden_or_system(row.file.name))]
    _refuse(table, missing, "path must be a file that is there", "path")
    bad_parts = [row for row in rows if row.split is not None and row.part is None]
    _refuse(table, bad_parts, f"split must be {PART_NAMES}", "split")


def _read_rows(table: Path) -> Iterator[_Row]:
    remedy = "Write it as UTF-8 with commas, and a line such as `photos/1.jpg,Glass` an image."
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
            if not {"path", "label"} <= names.keys():
                rule = f"The first line of {table} must name the columns path, label and, if there is one, split."
                raise UserError(rule, remedy, list(reader.fieldnames or ()))
            path, label, split = (names.get(name) for name in ("path", "label", "split"))
            for row in reader:
                if None in row:
                    rule = f"Line {reader.line_num} of {table} must have no more fields than the first."
                    raise UserError(rule, "Put what holds a comma in quotation marks.", row[None])
                name, part = row[path].strip(), None if split is None else row[split]
                photo = _resolve_file(table.parent, name)
                yield _Row(reader.line_num, name, photo, row[label].strip(), part, parse_part(part or ""))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{table} must be a table (CSV).", remedy, str(error)) from error


def _is_folder_name(label: str) -> bool:
    return label.isprintable() and bool(label) and not is_hidden_or_system(label) and not {"/", "\\"} & set(label)


def _resolve_file(folder: Path, name: str) -> Path:
    """The existing file of this name, in either Unicode form: macOS uses NFD for file names, most editors NFC."""
    paths = [folder / name, *(folder / unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    return next(filter(_is_file, paths), paths[0])


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - False for a NUL


def _refuse(table: Path, rows: list[_Row], rule: str, column: str) -> None:
    """Raise UserError if there are any rows; the message names the first few."""
    if rows:
        examples = list_examples(f"{printable(str(getattr(row, column)))!r} in line {row.number}" for row in rows)
        rule = f"In {table} each {rule}: {examples}."
        raise UserError(rule, "Correct the table; paths begin at its own folder.")
