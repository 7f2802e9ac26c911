"""Checks all entries of an untrusted zip file before any of them is unpacked.

Folder entries (folders are created with their files) and system files (image_files.SYSTEM_NAMES) are skipped silently.
A backslash separates folders, as in archives of PowerShell 5; all rules apply to the name after this replacement.
Names must be UTF-8: with the UTF-8 flag, as ASCII, or, as macOS writes them, as valid UTF-8 without the flag. Other
names are refused: by the standard they would be cp437, but hardly any archiver means that.
Bombs whose entries share bytes need no check of their own: zipfile refuses an entry whose name differs from that in
its header, names must differ, and the sizes of all entries are limited together.
"""

import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from realwaste.core.errors import UserError
from realwaste.core.file_names import fold_name
from realwaste.sources.image_files import is_system

MAX_ENTRIES = 200_000
MAX_TOTAL_BYTES = 32 << 30
MAX_RATIO = 200  # of the unpacked to the packed size
RATIO_FROM_BYTES = 16 << 20  # small images may be uniform, so their ratio is not limited
MAX_DEPTH = 32
UTF8_FLAG, ENCRYPTED_FLAGS = 0x800, 0x1 | 0x40 | 0x2000
_NAME_RULES = (
    ("[\\0-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]", "have names without control characters and line breaks"),
    ("^/", "have names that are relative, not absolute"),
    ("(?:^|/)[A-Za-z]:", "have names without a drive letter"),
    (r"(?:^|/)\.\.(?:/|$)", "have names that stay inside the folder"),
)
_ICON = re.compile(r"(?i)((?:^|/)(?:\._)?icon)\r$")  # macOS: the icon of a folder


class ArchiveError(UserError):
    """The archive itself is invalid, hostile or too large, as opposed to errors of the file system."""


@dataclass(frozen=True)
class Entry:
    """A file of the archive, and its path below the target folder."""

    info: zipfile.ZipInfo
    path: PurePosixPath


def check_entries(bundle: zipfile.ZipFile, archive: Path) -> list[Entry]:
    """Return the files to unpack if every entry is valid; raise ArchiveError otherwise."""
    infos = bundle.infolist()
    if len(infos) > MAX_ENTRIES:
        raise archive_error(archive, f"have at most {MAX_ENTRIES:,} entries", len(infos))
    entries = []
    for info in infos:
        name = _name(info, archive)
        path = _path(_ICON.sub(r"\1", name), archive)
        _check_kind(info, name, archive)
        if not (name.endswith("/") or _ICON.search(name) or any(map(is_system, path.parts))):
            entries.append(Entry(info, path))
    _check_collisions(entries, archive)
    _check_sizes(entries, archive)
    if not entries:
        raise archive_error(archive, "hold at least one file", f"{len(infos)} entries, none of them a file to keep")
    return entries


def _name(info: zipfile.ZipInfo, archive: Path) -> str:
    # Not `filename`, which ends at the first NUL: a trick to show one name and check another.
    name = info.orig_filename.replace("\\", "/")
    if info.flag_bits & UTF8_FLAG or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeDecodeError:
        raise archive_error(archive, "have names in UTF-8", name.encode("cp437")) from None


def _path(name: str, archive: Path) -> PurePosixPath:
    """The name as a relative path, without "." and doubled slashes."""
    path = PurePosixPath(name)
    rule = next((rule for pattern, rule in _NAME_RULES if re.search(pattern, name)), "")
    if not rule and (name.count("/") >= MAX_DEPTH or any(len(part.encode()) > 255 for part in path.parts)):
        rule = f"have names of at most {MAX_DEPTH} parts of 255 bytes"
    if not rule and not path.parts and not name.endswith("/"):
        rule = "have no entry without a name"
    if rule:
        raise archive_error(archive, rule, name)
    return path


def _check_kind(info: zipfile.ZipInfo, name: str, archive: Path) -> None:
    if info.flag_bits & ENCRYPTED_FLAGS:
        raise archive_error(archive, "not be encrypted", name, "Unpack it with its password and give the folder.")
    # Whatever the system that packed it: readers differ in whom they trust.
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in ((0, stat.S_IFREG, stat.S_IFDIR) if name.endswith("/") else (0, stat.S_IFREG)):
        raise archive_error(archive, "hold plain files only, no links or devices", name)
    # bzip2 and lzma have no limit on the output of one read, which may fill the memory.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        rule, remedy = "be packed by the methods store or deflate", "Pack the files again in the usual way (deflate)."
        raise archive_error(archive, rule, f"{name}, method {info.compress_type}", remedy)


def _check_collisions(entries: list[Entry], archive: Path) -> None:
    """Names must differ in more than letter case and Unicode form, and no file may be another file's folder."""
    rule = "have names that differ by more than case or Unicode form, and no file that is a folder too"
    folders: dict[str, str] = {}
    for folder in sorted({str(folder) for entry in entries for folder in entry.path.parents}):
        if (other := folders.setdefault(fold_name(folder), folder)) != folder:
            if _contents(entries, other) == _contents(entries, folder):
                once = "contain the data set once; two folders have the same files"
                remedy = "Unpack it, and give one of the two folders."
                raise archive_error(archive, once, [other, folder], remedy)
            raise archive_error(archive, rule, [other, folder])
    names = dict(folders)
    for entry in entries:
        name, key = str(entry.path), fold_name(str(entry.path))
        if key in names:
            raise archive_error(archive, rule, [names[key], name])
        names[key] = name


def _contents(entries: list[Entry], folder: str) -> set[tuple[str, int, int]]:
    """Names, checksums and sizes of all files under a folder."""
    inside = (entry for entry in entries if entry.path.is_relative_to(folder))
    return {(entry.path.name, entry.info.CRC, entry.info.file_size) for entry in inside}


def _check_sizes(entries: list[Entry], archive: Path) -> None:
    """Check the declared sizes; `archive.extract` checks that entries keep them."""
    total = sum(entry.info.file_size for entry in entries)
    if total > MAX_TOTAL_BYTES:
        raise archive_error(archive, f"unpack to at most {MAX_TOTAL_BYTES:,} bytes", f"{total:,} bytes")
    claims = [(str(entry.path), entry.info.file_size, entry.info.compress_size) for entry in entries]
    for name, size, packed in [*claims, ("in all", total, archive.stat().st_size)]:
        if size > RATIO_FROM_BYTES and size > MAX_RATIO * packed:
            rule = f"unpack to at most {MAX_RATIO} times its packed size"
            raise archive_error(archive, rule, f"{name}: {packed:,} bytes packed, {size:,} unpacked")


def archive_error(archive: Path, rule: str, received: object, remedy: str = "") -> ArchiveError:
    """The error for an archive that breaks a rule; `rule` completes "The archive must …"."""
    remedy = remedy or "Take it from a source you trust, or pack the files again."
    return ArchiveError(f"The archive {archive} must {rule}.", remedy, received)
