"""Unpacks untrusted zip files: all entries are checked before a byte is written, and again during decompression.

Modes and dates of the entries are ignored.
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
from realwaste.sources.archive_entries import MAX_ENTRIES, ArchiveError, Entry, archive_error, check_entries

MAX_LIST_BYTES = 512 * MAX_ENTRIES  # of the list of entries
CHUNK = 1 << 20
BLOCK = 4096  # bytes that a small file takes on disk
_DOWNLOAD_AGAIN = "Get it again: it was cut off or damaged on the way."
# Exceptions of zipfile and zlib for invalid archives.
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)


def check(archive: Path) -> None:
    """Raise ArchiveError unless the headers of all entries are valid; nothing is unpacked."""
    with _open_archive(archive) as bundle:
        check_entries(bundle, archive)


def extract(archive: Path, target: Path) -> list[Path]:
    """Unpack `archive` to the folder `target`, which is replaced if it exists, and return the sorted files.

    After an error nothing is left: files are written to a temporary folder beside `target`, which is removed.

    Raises:
        ArchiveError: the archive is invalid, hostile or too large; the message names the archive and the entry.
        UserError: the disk is full, or a folder is not writable.
    """
    with _open_archive(archive, target) as bundle:
        entries = check_entries(bundle, archive)
        _check_room(target, entries)
        with atomic_replace(target, is_stage_output) as temporary:
            temporary.mkdir()
            for entry in entries:
                _unpack(bundle, entry, temporary, archive)
    return sorted(target / entry.path for entry in entries)


class _BoundedFile(io.FileIO):
    """A file that refuses very large reads, because zipfile reads the whole list of entries into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_LIST_BYTES:
            raise zipfile.BadZipFile(f"its list of entries takes {size:,} bytes, more than {MAX_LIST_BYTES:,}")
        return super().read(-1 if size is None else size)


@contextmanager
def _open_archive(archive: Path, target: Path | None = None) -> Iterator[zipfile.ZipFile]:
    """Open a zip file; exceptions of zipfile, zlib and the file system in the block become user errors."""
    try:
        with _BoundedFile(archive) as file, zipfile.ZipFile(file) as bundle:
            yield bundle
    except UnicodeDecodeError as error:
        raise archive_error(archive, "use valid UTF-8 for names that it flags as UTF-8", error.object[:200]) from error
    except BROKEN as error:
        raise _describe_unsound(archive, error) from error
    except OSError as error:
        target_rule = f", {target.parent} writable and its disk have room for the files" if target else ""
        remedy = "Free space or correct the permissions, then run again."
        raise UserError(f"{archive} must be readable{target_rule}.", remedy, error) from error


def _check_room(target: Path, entries: list[Entry]) -> None:
    needed = sum(-(-entry.info.file_size // BLOCK) * BLOCK + BLOCK for entry in entries)
    folder = next(folder for folder in target.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        rule = f"The disk of {folder} must have {needed:,} bytes free to unpack the archive."
        raise UserError(rule, "Free space there, or choose another disk.", f"{free:,} bytes free")


def _unpack(bundle: zipfile.ZipFile, entry: Entry, root: Path, archive: Path) -> None:
    destination = root / entry.path
    destination.parent.mkdir(parents=True, exist_ok=True)
    # zipfile silently stops at the declared size; declaring one byte more reveals a longer stream.
    probe = copy.copy(entry.info)
    probe.file_size += 1
    size = 0
    try:
        with bundle.open(probe) as source, destination.open("xb") as sink:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                sink.write(chunk)
    except BROKEN as error:
        raise archive_error(archive, "be undamaged", f"{entry.path}: {error}", _DOWNLOAD_AGAIN) from error
    if size != entry.info.file_size:
        declared = f"{entry.path}: declared {entry.info.file_size:,} bytes, unpacked {size:,} or more"
        raise archive_error(archive, "hold as many bytes as it declares", declared)


def _describe_unsound(archive: Path, error: BaseException) -> ArchiveError:
    """The error for a file that is not a valid zip, with what its first bytes are."""
    with archive.open("rb") as file:
        head = file.read(1024)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return archive_error(archive, "be a zip", "an empty file", _DOWNLOAD_AGAIN)
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<script")):
        remedy = "Open its address in a browser: a login page, a consent page or a moved file is likely."
        return archive_error(archive, "be a zip, and it is a web page (HTML)", head[:80], remedy)
    if head.startswith(b"PK\x03\x04"):
        return archive_error(archive, "be a whole zip", str(error), _DOWNLOAD_AGAIN)
    return archive_error(archive, "be a zip", head[:40], "Give a zip, or a folder with the files.")
