"""Hostile archives are refused and named; nothing is written outside the target, and no incomplete file remains."""

import errno
import hashlib
import io
import re
import shutil
import stat
import struct
import tempfile
import tracemalloc
import unicodedata
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realwaste.core.errors import UserError
from realwaste.sources import archive_entries
from realwaste.sources.archive import extract

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile's, when it writes an invalid archive
UTF8 = 0x800


@pytest.fixture(autouse=True)
def tight_limits(monkeypatch):
    limits = {"MAX_ENTRIES": 50, "MAX_TOTAL_BYTES": 4 << 20, "MAX_RATIO": 100, "RATIO_FROM_BYTES": 1 << 20}
    for name, value in limits.items():
        monkeypatch.setattr(archive_entries, name, value)


def random_bytes(seed, length):
    """Incompressible bytes."""
    return hashlib.shake_256(b"%d" % seed).digest(length)


def raw_entry(name=b"a.txt", data=b"data", **changes):
    """A raw entry; `changes` are fields of its headers, which need not agree with its bytes."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = compressor.compress(data) + compressor.flush()
    fields = {"name": name, "packed": packed, "flags": 0, "method": 8, "crc": zlib.crc32(data), "size": len(data)}
    fields |= {"packed_size": len(packed), "mode": 0, "system": 3, "local_name": name, "offset": None, "version": 20}
    if changes.get("method") == 0:
        fields |= {"packed": data, "packed_size": len(data)}
    return fields | changes


def build_zip(*members, end_count=None, directory_size=None):
    """A zip of raw entries, whose headers may be wrong."""
    body, directory = io.BytesIO(), io.BytesIO()
    for entry in members:
        offset = body.tell() if entry["offset"] is None else entry["offset"]
        numbers = (entry["flags"], entry["method"], 0, 0x21, entry["crc"], entry["packed_size"], entry["size"])
        if entry["offset"] is None:
            body.write(struct.pack("<4s5H3I2H", b"PK\3\4", entry["version"], *numbers, len(entry["local_name"]), 0))
            body.write(entry["local_name"] + entry["packed"])
        head = (entry["version"], entry["system"], entry["version"], 0, *numbers, len(entry["name"]), 0, 0, 0, 0)
        directory.write(struct.pack("<4s4B4H3I5H2I", b"PK\1\2", *head, entry["mode"] << 16, offset) + entry["name"])
    directory_bytes = directory.getvalue()
    count = len(members) if end_count is None else end_count
    size = len(directory_bytes) if directory_size is None else directory_size
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, body.tell(), 0)
    return body.getvalue() + directory_bytes + end


def make_zip(**files):
    """A valid zip, written by zipfile."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return target.getvalue()


def zip_with_names(*names):
    return build_zip(*[raw_entry(name.encode(), flags=UTF8) for name in names])


def files_with_names(*names):
    """The files that an archive of `zip_with_names` contains."""
    return dict.fromkeys(names, b"data")


def build_overlapping_bomb():
    """Entries that share compressed bytes: the file is small, but no single entry has a high compression ratio."""
    first = raw_entry(b"0.bin", random_bytes(1, 300_000), flags=UTF8)
    return build_zip(first, *[first | {"name": b"%d.bin" % index, "offset": 0} for index in range(1, 9)])


HOSTILE = {
    # name: (bytes of the archive, part of the error message)
    "parent": (zip_with_names("a", "../evil"), "stay inside"),
    "parent inside a path": (zip_with_names("a/../b"), "stay inside"),
    "parent in a skipped folder": (zip_with_names("a", "__MACOSX/../../evil"), "stay inside"),
    "absolute": (zip_with_names("/etc/evil"), "not absolute"),
    "drive": (zip_with_names("C:/evil"), "drive letter"),
    "drive inside": (zip_with_names("a/C:/evil"), "drive letter"),
    "backslash": (zip_with_names("..\\evil"), "stay inside"),
    "backslash and slash": (zip_with_names("a\\b", "a/b"), "more than case"),
    "network share": (zip_with_names("\\\\server\\share"), "not absolute"),
    "carriage return": (zip_with_names("Icon\r.jpg"), "control characters"),
    "parent of an icon": (zip_with_names("../Icon\r"), "stay inside"),
    "same set in two folders": (
        zip_with_names("DATASET/TRAIN/a/1.jpg", "dataset/a/1.jpg"),
        "two folders have the same files",
    ),
    "empty name": (zip_with_names(""), "without a name"),
    "NUL": (zip_with_names("good.jpg\0/../../evil"), "control characters"),
    "escape": (zip_with_names("a\x1b[2Jb"), "control characters"),
    "line separator": (zip_with_names("a\u2028b"), "control characters"),
    "long part": (zip_with_names("x" * 256), "255 bytes"),
    "deep": (zip_with_names("a/" * 33 + "b"), "parts"),
    "latin-1": (build_zip(raw_entry("Müll.jpg".encode("latin-1"))), "names in UTF-8"),
    "flagged as UTF-8": (build_zip(raw_entry(b"M\xfcll.jpg", flags=UTF8)), "valid UTF-8"),
    "overlong slash": (build_zip(raw_entry(b"..\xc0\xafevil", flags=UTF8)), "valid UTF-8"),
    "same name twice": (zip_with_names("a", "a"), "more than case"),
    "case": (zip_with_names("Glass/1.jpg", "Glass/1.JPG"), "more than case"),
    "sharp s": (zip_with_names("straße", "STRASSE"), "more than case"),
    "Unicode form": (zip_with_names("M\u00fcll", "Mu\u0308ll"), "more than case"),
    "file and folder": (zip_with_names("a", "a/b"), "more than case"),
    "symlink": (build_zip(raw_entry(b"link", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)), "no links"),
    "symlink as folder": (build_zip(raw_entry(b"link/", b"/etc", mode=stat.S_IFLNK | 0o777)), "no links"),
    "symlink, skipped name": (build_zip(raw_entry(), raw_entry(b".DS_Store", b"/", mode=stat.S_IFLNK)), "no links"),
    "fifo": (build_zip(raw_entry(mode=stat.S_IFIFO)), "no links"),
    "folder by mode, not by name": (build_zip(raw_entry(mode=stat.S_IFDIR)), "no links"),
    "encrypted": (build_zip(raw_entry(flags=0x1)), "not be encrypted"),
    "masked headers": (build_zip(raw_entry(flags=0x2000)), "not be encrypted"),
    "bzip2": (build_zip(raw_entry(method=12)), "methods store or deflate"),
    "future version": (build_zip(raw_entry(version=99)), "whole zip"),
    "too many entries": (zip_with_names(*[f"{index}" for index in range(51)]), "at most 50 entries"),
    "large in total": (build_zip(*[raw_entry(b"%d" % i, random_bytes(i, 1 << 20)) for i in range(5)]), "4,194,304"),
    "high ratio of a file": (make_zip(bomb=bytes(2 << 20)), "times its packed size"),
    "high ratio in total": (make_zip(**{f"{index}": bytes(900_000) for index in range(4)}), "in all"),
    "declared huge": (build_zip(raw_entry(size=0xFFFFFFF0)), "4,194,304"),
    "bomb that declares a small size": (build_zip(raw_entry(data=bytes(50 << 20), size=100)), "undamaged|declares"),
    "more than declared": (build_zip(raw_entry(data=b"12345", size=4, crc=zlib.crc32(b"1234"))), "undamaged|declares"),
    "less than declared": (build_zip(raw_entry(data=b"1234", size=5)), "declares"),
    "shared compressed bytes": (build_overlapping_bomb(), "undamaged"),
    "two names for one file": (build_zip(raw_entry(b"good.jpg", local_name=b"evil.jpg")), "undamaged"),
    "wrong CRC": (build_zip(raw_entry(crc=1)), "undamaged"),
    "truncated": (make_zip(a=random_bytes(3, 9999))[:5000], "whole zip"),
    "empty file": (b"", "an empty file"),
    "empty zip": (make_zip(), "at least one file"),
    "only folders": (zip_with_names("a/", "a/b/", "__MACOSX/x"), "at least one file"),
    "HTML": (b"\xef\xbb\xbf\n <!DOCTYPE HTML><html>log in</html>", "web page"),
    "tar": (b"a.txt" + bytes(2000), "be a zip"),
}


@pytest.fixture
def folder(tmp_path):
    """A folder for archive and target, beside a file that must not change."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "inner").mkdir()
    return tmp_path / "inner"


def _catch_error(archive, target):
    with pytest.raises(UserError) as caught:
        extract(archive, target)
    return str(caught.value)


def list_paths(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("content", "messages"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_named(folder, content, messages):
    archive = folder / "bad.zip"
    archive.write_bytes(content)
    message = _catch_error(archive, folder / "out")
    assert any(expected in message for expected in messages.split("|")), message
    assert "bad.zip" in message
    assert list_paths(folder.parent) == ["inner", "inner/bad.zip", "precious"]


@pytest.mark.parametrize("name", ["parent", "wrong CRC"])
def test_an_existing_folder_is_replaced_only_by_a_valid_archive(folder, name):
    (folder / "out").mkdir()
    (folder / "out" / "stale").write_text("x")
    (folder / "bad.zip").write_bytes(HOSTILE[name][0])
    _catch_error(folder / "bad.zip", folder / "out")
    assert list_paths(folder) == ["bad.zip", "out", "out/stale"]
    (folder / "good.zip").write_bytes(make_zip(a=b"1"))
    extract(folder / "good.zip", folder / "out")
    assert list_paths(folder / "out") == ["a"]


HUGE_ENTRY_LIST = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 1 << 30, 0, 0)


@pytest.mark.parametrize(
    ("start", "content"), [(0, HOSTILE["bomb that declares a small size"][0]), (1 << 30, HUGE_ENTRY_LIST)]
)
def test_a_wrong_declared_size_does_not_increase_memory_use(folder, start, content):
    with (folder / "bad.zip").open("wb") as file:
        file.seek(start)  # a hole needs no disk space
        file.write(content)
    tracemalloc.start()
    try:
        _catch_error(folder / "bad.zip", folder / "out")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


SCRIPTS = ("垃圾/1.jpg", "мусор/2", "نفايات/۳", "🗑️/4", "n\u0303/5")
PUNCTUATION = "a b/'c', \"d\"; 10:30.jpg"
GOOD = {
    # name: (archive, expected files)
    "plain": (make_zip(**{"Glass/1.jpg": b"1", "Metal/2.jpg": b"2"}), {"Glass/1.jpg": b"1", "Metal/2.jpg": b"2"}),
    "stored": (build_zip(raw_entry(method=0)), {"a.txt": b"data"}),
    "folder entries": (zip_with_names("a/", "a/b", "c/"), {"a/b": b"data"}),
    "OS files": (
        zip_with_names("x/.DS_Store", "x/Thumbs.db", "thumbs.DB", "__MACOSX/x/._1.jpg", "x/1.jpg", "x/__macosx/2"),
        {"x/1.jpg": b"data"},
    ),
    "as PowerShell 5 writes": (
        zip_with_names("x\\", "x\\Glass\\1.jpg", "x\\Metal\\2.jpg"),
        files_with_names("x/Glass/1.jpg", "x/Metal/2.jpg"),
    ),
    "a folder's icon": (zip_with_names("Icon\r", "x/Icon\r", "__MACOSX/x/._Icon\r", "x/1.jpg"), {"x/1.jpg": b"data"}),
    "OS files that collide": (zip_with_names("a", "Thumbs.db", "thumbs.db"), {"a": b"data"}),
    "several scripts": (zip_with_names(*SCRIPTS), files_with_names(*SCRIPTS)),
    "UTF-8 without its flag, as macOS writes": (build_zip(raw_entry("Müll.jpg".encode())), {"Müll.jpg": b"data"}),
    "spaces, quotes, commas, colons": (zip_with_names(PUNCTUATION), files_with_names(PUNCTUATION)),
    "dots": (zip_with_names("./a", "b//c", "...", "..d", "e.."), files_with_names("a", "b/c", "...", "..d", "e..")),
    "names almost alike": (zip_with_names("a1", "a2", "A/b", "A/c"), files_with_names("a1", "a2", "A/b", "A/c")),
    "an empty file": (make_zip(a=b""), {"a": b""}),
    "high ratio but small": (make_zip(white=bytes(900_000)), {"white": bytes(900_000)}),
    "data before the zip": (b"#!/bin/sh\n" + make_zip(a=b"1"), {"a": b"1"}),
    "the mode of a program": (build_zip(raw_entry(mode=stat.S_IFREG | 0o4777)), {"a.txt": b"data"}),
}


@pytest.mark.parametrize(("content", "files"), GOOD.values(), ids=GOOD)
def test_an_unusual_archive_is_unpacked(folder, content, files):
    archive, target = folder / "good.zip", folder / "deep" / "out"
    archive.write_bytes(content)
    files_written = extract(archive, target)
    assert files_written == sorted(target / name for name in files)
    assert {str(path.relative_to(target)): path.read_bytes() for path in files_written} == files
    assert sorted(path for path in target.rglob("*") if path.is_file()) == files_written
    assert not any(path.stat().st_mode & 0o7111 for path in files_written)
    assert list((folder / "deep").iterdir()) == [target]


class UnseekableStream(io.BytesIO):
    """A stream that cannot seek, so that zipfile writes the sizes after the data."""

    def tell(self):
        raise OSError


@pytest.mark.parametrize("is_zip64", [False, True])
def test_streamed_zips_and_zip64_archives_are_unpacked(folder, is_zip64):
    target = io.BytesIO() if is_zip64 else UnseekableStream()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("a", "w", force_zip64=is_zip64) as a:
        a.write(b"data")
    (folder / "x.zip").write_bytes(target.getvalue())
    assert [path.read_bytes() for path in extract(folder / "x.zip", folder / "out")] == [b"data"]


def test_free_space_is_checked_first(folder, monkeypatch):
    (folder / "good.zip").write_bytes(make_zip(a=b"1"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8191))
    assert "must have 8,192 bytes free" in _catch_error(folder / "good.zip", folder / "no" / "such" / "out")
    assert list_paths(folder) == ["good.zip"]


def test_a_full_disk_leaves_no_files(folder, monkeypatch):
    (folder / "good.zip").write_bytes(make_zip(a=b"1", b=b"2"))
    original_open = Path.open

    def open_on_full_disk(path, mode="r", *arguments, **options):
        if path.name == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original_open(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    assert "disk have room" in _catch_error(folder / "good.zip", folder / "out")
    assert list_paths(folder) == ["good.zip"]


@pytest.mark.parametrize(("archive", "target"), [("missing.zip", "out"), (".", "out"), ("good.zip", "file/out")])
def test_a_path_that_cannot_be_read_or_written_is_refused(folder, archive, target):
    (folder / "good.zip").write_bytes(make_zip(a=b"1"))
    (folder / "file").write_text("mine")
    assert re.search("must be readable|writable", _catch_error(folder / archive, folder / target))
    assert (folder / "file").read_text() == "mine"


# Generated entry names and damage

NAME_PARTS = ["..", ".", "", "/", "a", "A", "\\", "C:", "~", "é", "e\u0301", "\0", "\n", "x" * 300, "\u202e", "nul"]
NAMES = st.one_of(
    st.lists(st.sampled_from(NAME_PARTS), min_size=1, max_size=5).map("/".join).map(str.encode),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=40),
)
MODES = st.sampled_from([0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(entries=st.lists(st.tuples(NAMES, MODES, st.sampled_from([0, UTF8])), min_size=1, max_size=4))
def test_no_entry_name_writes_outside_the_target(entries):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "precious").write_text("mine")
        (folder / "x.zip").write_bytes(
            build_zip(*[raw_entry(name, mode=mode, flags=flags) for name, mode, flags in entries])
        )
        try:
            files_written = extract(folder / "x.zip", folder / "in" / "out")
        except UserError:
            assert list_paths(folder) in (["precious", "x.zip"], ["in", "precious", "x.zip"])
            return
        files_on_disk = {path for path in folder.rglob("*") if not path.is_dir()}
        assert files_on_disk == {folder / "precious", folder / "x.zip", *files_written}
        assert all(path.resolve().is_relative_to(folder.resolve() / "in" / "out") for path in files_written)
        assert len({unicodedata.normalize("NFC", str(path)).casefold() for path in files_written}) == len(files_written)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    base=st.sampled_from(
        [make_zip(**{"a/1.jpg": b"1" * 500, "b": b"2"}), GOOD["several scripts"][0], build_overlapping_bomb()[-600:]]
    ),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 40),
)
def test_a_damaged_archive_raises_only_a_user_error(base, edits, cut):
    damaged = bytearray(base)
    for position, value in edits:
        damaged[position % len(damaged)] = value
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x.zip").write_bytes(damaged[: len(damaged) - cut])
        try:
            extract(folder / "x.zip", folder / "out")
        except UserError:
            assert list_paths(folder) == ["x.zip"]
        assert {path.name for path in folder.iterdir()} <= {"x.zip", "out"}
