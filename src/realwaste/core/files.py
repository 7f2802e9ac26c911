"""Files that are whole or absent: everything is written under a temporary name beside its place, then renamed.

Text, and the JSON records and CSV tables that stages hand to each other.
"""

import csv
import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import psutil
from filelock import FileLock, Timeout

from realwaste.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Every column of every table that holds text.
_TEXT = (
    *("path", "label", "split", "sha256", "phash", "phash_mirrored", "series", "reason", "suggested"),
    *("dataset", "model", "actual", "predicted", "probabilities", "part", "block", "output"),
)


_NAME_BYTES = 200  # of a temporary file's name, behind its prefix; file systems take 255 in all


def is_file(path: Path) -> bool:
    """A regular file, or a link to one: what a new file may replace, unless its writer is stricter."""
    return path.is_file()


def is_stage_output(path: Path) -> bool:
    """Always true: of outputs of stages, which DVC deletes before a run, and of what lies in the user's cache."""
    return True


@contextmanager
def replacing(path: Path, may_replace: Callable[[Path], bool] = is_file) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write a file or folder to, which takes its place if the block succeeds.

    The sibling keeps the suffix, which writers such as Keras go by.

    Args:
        may_replace: whether what stands at `path` is an earlier output of the same writer, which then goes.

    Raises:
        FileExistsError: something else stands there. It stays as it is.
    """
    refuse_to_replace(path, may_replace)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{_short_name(path)}")
    try:
        yield temporary
        refuse_to_replace(path, may_replace)
        if _is_folder(path) or _is_folder(temporary):
            _remove(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


@contextmanager
def locked(path: Path, wait_s: float, remedy: str) -> Iterator[None]:
    """Keep other processes and threads that lock the same path out; the system frees the lock of a killed process.

    Raises:
        UserError: another one has held it for `wait_s` seconds, with `remedy`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_file = path.with_name(f".tmp-lock-{_short_name(path)}")
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise UserError(f"One process at a time may write {path}.", remedy) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows deletes no open file
            lock_file.unlink()  # while it is held: who waits for the deleted file's lock begins anew
        lock.release()


def refuse_to_replace(path: Path, may_replace: Callable[[Path], bool]) -> None:
    """Raise FileExistsError where something stands at `path` that `may_replace` does not know, as of `replacing`."""
    if os.path.lexists(path) and not may_replace(path):
        raise FileExistsError(errno.EEXIST, "something else is there", str(path))


def _short_name(path: Path) -> str:
    """The name; of a long one a digest in its place, with the suffix."""
    if len(os.fsencode(path.name)) <= _NAME_BYTES:
        return path.name
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32] + path.suffix[:16]


def _remove_leftovers(path: Path) -> None:
    """What writers of `path` left that were killed: their process is gone."""
    for leftover in path.parent.glob(f".tmp-*-{glob.escape(_short_name(path))}"):
        number = leftover.name.split("-")[1]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            _remove(leftover)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str, may_replace: Callable[[Path], bool] = is_file) -> None:
    """Write a text file in UTF-8; `may_replace` is as of `replacing`."""
    with replacing(path, may_replace) as temporary:
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
    # Python before 3.11.9 leaves a carriage return unquoted, which ends the row for whoever reads it.
    texts = table.select_dtypes(include=["object", "string"])
    returns = any("\r" in str(value) for name in texts for value in (name, *texts[name]))
    with replacing(path) as temporary:
        quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
        table.to_csv(temporary, index=False, lineterminator="\n", quoting=quoting)


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
