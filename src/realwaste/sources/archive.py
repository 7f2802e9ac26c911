"""A zip from a stranger, unpacked: all entries are checked before a byte is written, and again while they inflate.

Modes and dates of the entries are not taken over.
"""

import copy
import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.files import atomic_replace, is_stage_output
from realwaste.sources.archive_entries import DEFAULT_LIMITS, ArchiveError, Entry, Limits, checked, refusal

CHUNK = 1 << 20
BLOCK = 4096  # what a small file takes on disk
# What zipfile and zlib raise for bytes that are no sound archive.
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)


def check(archive: Path, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """ArchiveError unless all that `archive` says of its entries is sound; none of them is unpacked."""
    with _refusing(archive), _opened(archive, limits) as (file, bundle):
        checked(file, bundle, archive, limits)


def extract(archive: Path, target: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[Path]:
    """Unpack `archive` as the folder `target`, which is replaced whole if it exists; return its files, sorted.

    Raises:
        ArchiveError: the archive is unsound, hostile or too large; it names the archive and the entry.
        UserError: the disk is full, or a folder not writable.
        Nothing has then been written outside a temporary sibling of `target`, and that is gone.
    """
    with _refusing(archive, target), _opened(archive, limits) as (file, bundle):
        entries = checked(file, bundle, archive, limits)
        _check_room(target, entries)
        with atomic_replace(target, is_stage_output) as temporary:
            shutil.rmtree(temporary, ignore_errors=True)  # a killed process of the same number left it
            temporary.mkdir()
            for entry in entries:
                _unpack(bundle, entry, temporary, archive)
    return sorted(target / entry.path for entry in entries)


@contextmanager
def _refusing(archive: Path, target: Path | None = None) -> Iterator[None]:
    """What zipfile, zlib and the disk raise, as the errors a person sees."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise refusal(archive, "have names in UTF-8 where it says so", error.object[:200]) from error
    except BROKEN as error:
        raise _unsound(archive, error) from error
    except OSError as error:
        written = f", {target.parent} writable and its disk have room for the files" if target else ""
        remedy = "Free space or mend the permissions, then run again."
        raise UserError(f"{archive} must be readable{written}.", remedy, error) from error


class _BoundedFile(io.FileIO):
    """Refuses to be read in one huge piece: zipfile takes the whole list of entries into memory, however long."""

    longest_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.longest_read:
            raise zipfile.BadZipFile(f"its list of entries takes {size:,} bytes, more than {self.longest_read:,}")
        return super().read(-1 if size is None else size)


@contextmanager
def _opened(archive: Path, limits: Limits) -> Iterator[tuple[_BoundedFile, zipfile.ZipFile]]:
    with _BoundedFile(archive) as file:
        file.longest_read = max(4 << 20, 512 * limits.max_entries)
        with zipfile.ZipFile(file) as bundle:
            yield file, bundle


def _check_room(target: Path, entries: list[Entry]) -> None:
    needed = sum(-(-entry.info.file_size // BLOCK) * BLOCK + BLOCK for entry in entries)
    folder = next(folder for folder in target.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"The disk of {folder} must have {needed:,} bytes free to unpack the archive.",
            "Free space there, or choose another disk.",
            f"{free:,} bytes free",
        )


def _unpack(bundle: zipfile.ZipFile, entry: Entry, root: Path, archive: Path) -> None:
    destination = root / entry.path
    destination.parent.mkdir(parents=True, exist_ok=True)
    # zipfile stops at the declared size without a word; one byte more lets a longer stream show itself.
    probe = copy.copy(entry.info)
    probe.file_size += 1
    size = 0
    try:
        with bundle.open(probe) as source, destination.open("xb") as sink:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                sink.write(chunk)
    except BROKEN as error:
        raise refusal(archive, "be undamaged", f"{entry.path}: {error}", _AGAIN) from error
    if size != entry.info.file_size:
        declared = f"{entry.path}: declared {entry.info.file_size:,} bytes, unpacked {size:,} or more"
        raise refusal(archive, "hold as many bytes as it declares", declared)


_AGAIN = "Get it again: it was cut off or damaged on the way."


def _unsound(archive: Path, error: BaseException) -> ArchiveError:
    """What stands there in place of a zip, told by its first bytes."""
    with archive.open("rb") as file:
        head = file.read(1024)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return refusal(archive, "be a zip", "an empty file", _AGAIN)
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<script")):
        remedy = "Open its address in a browser: a login page, a consent page or a moved file is likely."
        return refusal(archive, "be a zip, and it is a web page (HTML)", head[:80], remedy)
    if head.startswith(b"PK\x03\x04"):
        return refusal(archive, "be a whole zip", str(error), _AGAIN)
    return refusal(archive, "be a zip", head[:40], "Give a zip, or a folder with the files.")
