"""Atomic writes of text, JSON records and CSV tables, file locks, and the user's cache folder.

A file is complete or absent: it is written under a temporary name beside its target, then renamed.
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

import platformdirs
import psutil
from filelock import FileLock, Timeout

from realwaste.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

CACHE_VARIABLE = "REALWASTE_CACHE"
# The text columns of all tables.
_TEXT_COLUMNS = (
    *("path", "label", "split", "sha256", "phash", "phash_mirrored", "series", "reason", "suggested"),
    *("dataset", "model", "actual", "predicted", "probabilities", "part", "block", "output"),
)
_MAX_NAME_BYTES = 200  # of a temporary file's name after its prefix; file systems allow 255 in all


def cache_folder() -> Path:
    """The user's folder for downloads and converted networks, shared by all checkouts; it may not exist yet.

    REALWASTE_CACHE names it; otherwise it is in the system's place for caches.
    """
    path = os.environ.get(CACHE_VARIABLE)
    return Path(path).expanduser().absolute() if path else platformdirs.user_cache_path("realwaste", None)


def is_stage_output(path: Path) -> bool:
    """Always True: DVC deletes the outputs of a stage before it runs, and the cache folder holds only our files."""
    return True


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """The hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextmanager
def atomic_replace(path: Path, may_replace: Callable[[Path], bool] = Path.is_file) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or folder, which replaces `path` if the block succeeds.

    The temporary name has the same suffix, by which writers such as Keras choose the format.

    Args:
        may_replace: whether an existing `path` is an earlier output of the same writer and may be replaced.

    Raises:
        FileExistsError: `path` is something else; it is left unchanged.
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
def exclusive_lock(path: Path, wait_s: float, remedy: str) -> Iterator[None]:
    """Hold a lock on `path` against other processes and threads; the system frees the lock of a killed process.

    Raises:
        UserError: another process has held the lock for `wait_s` seconds; the message ends with `remedy`.
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
        with suppress(OSError):  # Windows does not delete an open file
            lock_file.unlink()  # while the lock is held: a process that waits for it starts over with a new file
        lock.release()


def refuse_to_replace(path: Path, may_replace: Callable[[Path], bool]) -> None:
    """Raise FileExistsError if `path` exists and `may_replace` returns False for it; see `atomic_replace`."""
    if os.path.lexists(path) and not may_replace(path):
        raise FileExistsError(errno.EEXIST, "something else is there", str(path))


def _short_name(path: Path) -> str:
    """The file name, or a digest and the suffix if the name is too long."""
    if len(os.fsencode(path.name)) <= _MAX_NAME_BYTES:
        return path.name
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32] + path.suffix[:16]


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of killed writers of `path`, whose processes no longer exist."""
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


def write_text(path: Path, text: str, may_replace: Callable[[Path], bool] = Path.is_file) -> None:
    """Write a text file in UTF-8; for `may_replace` see `atomic_replace`."""
    with atomic_replace(path, may_replace) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a record as strict JSON.

    Raises:
        ValueError: a value is NaN or infinite. `dvc metrics` would show it like any number; other readers refuse it.
    """
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table without its index. Floats keep their exact value; a missing value is an empty field."""
    # Python before 3.11.9 does not quote a carriage return, which readers take for the end of the row.
    texts = table.select_dtypes(include=["object", "string"])
    has_returns = any("\r" in str(value) for name in texts for value in (name, *texts[name]))
    with atomic_replace(path) as temporary:
        quoting = csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL
        table.to_csv(temporary, index=False, lineterminator="\n", quoting=quoting)


def read_json(path: Path) -> dict[str, Any]:
    """Read a record that `write_json` wrote: one JSON object."""
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise TypeError(f"{path} must hold an object")
    return values


def read_csv(source: Path | BinaryIO) -> "pd.DataFrame":
    """Read a table that `write_csv` wrote: _TEXT_COLUMNS as text, other columns as numbers or booleans.

    Inferred types would change classes named `01`, `1e3`, `True` or `NA`, and hashes that consist of digits.
    """
    import pandas as pd  # noqa: PLC0415 - takes a second, which stages that only read records save

    return pd.read_csv(source, dtype=dict.fromkeys(_TEXT_COLUMNS, "str"), keep_default_na=False, na_values=[""])
