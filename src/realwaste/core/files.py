"""Files that are whole or absent: everything is written under a temporary name beside its place, then renamed.

Text, and the JSON records and CSV tables that stages hand to each other.
"""

import glob
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import psutil

if TYPE_CHECKING:
    import pandas as pd

# Every column of every table that holds text.
_TEXT = (
    *("path", "label", "split", "sha256", "phash", "phash_mirrored", "series", "reason", "suggested"),
    *("dataset", "model", "actual", "predicted", "probabilities", "part", "block", "output"),
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write a file or folder to, which takes its place if the block succeeds.

    The sibling keeps the suffix, which writers such as Keras go by. What stands at `path` is replaced whole, be it a
    file or a folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        yield temporary
        if path.is_dir() or temporary.is_dir():
            _remove(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


def _remove_leftovers(path: Path) -> None:
    """What writers of `path` left that were killed: their process is gone."""
    for leftover in path.parent.glob(f".tmp-*-{glob.escape(path.name)}"):
        number = leftover.name.split("-")[1]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a record as strict JSON.

    Raises:
        ValueError: for NaN or an infinity, which `dvc metrics` shows as if all were well and other readers refuse.
    """
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table without its index. Floats read back as they were; a missing value is an empty field."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_json(path: Path) -> dict[str, Any]:
    """A record, as `write_json` leaves it: one JSON object."""
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise TypeError(f"{path} must hold an object")
    return values


def read_csv(source: Path | BinaryIO) -> "pd.DataFrame":
    """A table, as `write_csv` leaves it: the columns in _TEXT as text, all others as numbers or truth values.

    Inferred types would turn classes named `01`, `1e3`, `True` or `NA`, and hashes made of digits, into other values.
    """
    import pandas as pd  # noqa: PLC0415 - a second, which stages that read records alone need not wait for

    return pd.read_csv(source, dtype=dict.fromkeys(_TEXT, "str"), keep_default_na=False, na_values=[""])
