"""All kinds of fetch.source, with a server on the loopback and images that the tests draw."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from servers import PlayServer, no_length, status

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UnreachableError, UserError
from realwaste.core.log import logger
from realwaste.sources import image_source, realwaste_files
from realwaste.sources.stand_ins import StandIns

THREE_FILES = ["glass/glass_1.jpg", "glass/glass_2.jpg", "metal/metal_1.jpg"]
UNREACHABLE_URL = "http://127.0.0.1:9/realwaste.zip"  # no server listens on the discard port


@pytest.fixture
def server():
    with PlayServer() as server:
        yield server


@pytest.fixture(autouse=True)
def realwaste_url(monkeypatch):
    monkeypatch.setattr(image_source, "REALWASTE_URL", UNREACHABLE_URL)


def _fetch(source, target, **overrides):
    values: dict[str, Any] = {"sha256": None, "seed": 1, "images_per_class": 2, "stand_ins": StandIns()}
    return image_source.fetch(str(source), target, **values | overrides)


def _zip_folder(root: Path) -> Path:
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as bundle:
        for file in sorted(root.rglob("*.jpg")):
            bundle.write(file, file.relative_to(root).as_posix())
    return path


def _list_files(target: Path) -> list[str]:
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*.*"))


def test_a_folder_is_copied(images, tmp_path):
    root = images(glass=2, metal=1)
    (root / "glass/Thumbs.db").write_bytes(b"x")
    times_before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    fetched = _fetch(root, tmp_path / "raw")
    assert fetched == image_source.Dataset("set", "given", "set", 3, 2, None)
    assert _list_files(tmp_path / "raw") == THREE_FILES
    for name in THREE_FILES:
        assert (tmp_path / "raw" / name).read_bytes() == (root / name).read_bytes()
        assert (tmp_path / "raw" / name).stat().st_ino != (root / name).stat().st_ino
    assert times_before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_zip_is_unpacked_and_its_checksum_verified(images, tmp_path):
    archive = _zip_folder(images(inside="set/deep/er", glass=2, metal=1))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    fetched = _fetch(archive, tmp_path / "raw", sha256=digest.upper())
    assert (fetched.dataset, fetched.images, fetched.sha256) == ("set", 3, digest)
    assert _list_files(tmp_path / "raw") == THREE_FILES
    with pytest.raises(UserError, match=r"must have the sha256 of fetch\.sha256"):
        _fetch(archive, tmp_path / "other", sha256="0" * 64)
    assert not (tmp_path / "other").exists()


def _publish(monkeypatch, folder: Path) -> None:
    """Make the images of a folder RealWaste's published files."""
    counts = {path.name: len(list(path.iterdir())) for path in sorted(folder.iterdir())}
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in sorted(folder.glob("*/*"))]
    digest_file = folder.parent / "digests.bin"
    digest_file.write_bytes(b"".join(digest[: realwaste_files.WIDTH] for digest in digests))
    monkeypatch.setattr(realwaste_files, "COUNTS", counts)
    monkeypatch.setattr(realwaste_files, "DIGEST_FILE", digest_file)


def test_a_download_of_realwaste_must_have_the_published_counts(images, tmp_path, server, monkeypatch):
    folder = images(inside="set/realwaste-main/RealWaste", Glass=2, Metal=1)
    url = server.serve("realwaste.zip", _zip_folder(folder).read_bytes())
    monkeypatch.setattr(image_source, "REALWASTE_URL", url)
    with pytest.raises(UserError, match="published 4752 images in 9 classes"):
        _fetch("realwaste", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    monkeypatch.setattr(realwaste_files, "COUNTS", {"Glass": 2, "Metal": 1})
    fetched = _fetch("auto", tmp_path / "raw")
    assert (fetched.dataset, fetched.origin, fetched.published) == ("RealWaste", "given", "other")
    _publish(monkeypatch, tmp_path / "raw")
    fetched = _fetch("auto", tmp_path / "raw")
    assert (fetched.dataset, fetched.origin, fetched.published) == ("RealWaste", "realwaste", "complete")


def test_published_files_are_recognized_by_their_bytes(images, tmp_path, monkeypatch, caplog):
    folder = images(inside="whatever", Glass=3, Metal=2)
    _publish(monkeypatch, folder)
    monkeypatch.setattr(logger, "propagate", True)
    assert _fetch(folder, tmp_path / "raw").published == "complete"
    (folder / "Glass/Glass_3.jpg").unlink()
    incomplete = _fetch(folder, tmp_path / "raw")
    assert (incomplete.origin, incomplete.published, incomplete.differing) == ("realwaste-part", "part (4 of 5)", "")
    (folder / "Glass/Glass_3.jpg").write_bytes((folder / "Metal/Metal_1.jpg").read_bytes())
    changed = _fetch(folder, tmp_path / "raw")
    assert (changed.origin, changed.published, changed.differing) == ("given", "other", "Glass")
    assert "these classes have other files too: Glass" in caplog.text


def test_the_hashes_of_47_published_files_are_listed():
    """tests/realwaste_originals.csv has name and SHA-256 of 47 published files, three to ten of each class."""
    class_of_digest = realwaste_files._read_class_of_digest()
    assert len(class_of_digest) == sum(realwaste_files.COUNTS.values()) == 4752
    rows = (ROOT / "tests/realwaste_originals.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 47
    order = list(class_of_digest)
    for row in rows:
        name, sha256 = row.split(",")
        label, _, number = name.removesuffix(".jpg").rpartition("_")
        digest = bytes.fromhex(sha256)[: realwaste_files.WIDTH]
        assert class_of_digest[digest] == label
        offset = sum(count for other, count in realwaste_files.COUNTS.items() if other < label)
        assert order.index(digest) == offset + int(number) - 1


def test_without_a_network_auto_is_synthetic_and_realwaste_is_an_error(tmp_path):
    with pytest.raises(UnreachableError):
        _fetch("realwaste", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    stand_ins = StandIns()
    fetched = _fetch("auto", tmp_path / "raw", stand_ins=stand_ins)
    assert (fetched.dataset, fetched.origin, fetched.images) == ("synthetic", "synthetic", 18)
    assert [setting for _, setting, _ in stand_ins.entries] == ["fetch.source=realwaste"]


@pytest.mark.parametrize("name", ["RealWaste", "synthetic"])
def test_the_name_of_a_source_does_not_decide_its_origin(name, images, tmp_path):
    folder = images(inside=name, glass=2, metal=1)
    for source in (folder, _zip_folder(folder)):
        fetched = _fetch(source, tmp_path / "raw")
        assert (fetched.dataset, fetched.origin) == (name, "given")


def test_a_url_is_downloaded_once_and_the_record_has_no_path_and_no_secrets(images, tmp_path, monkeypatch, server):
    """Reports and model cards may be published."""
    folder = images(glass=2, metal=1)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _fetch("~/set", tmp_path / "raw").source == "set"
    assert _fetch(_zip_folder(folder), tmp_path / "raw").source == "set.zip"
    url = server.serve("mine.zip", _zip_folder(folder).read_bytes()).replace("//", "//me:geheim@") + "?token=geheim"
    fetched = _fetch(url, tmp_path / "raw")
    assert (fetched.source, fetched.dataset) == (server.url("mine.zip"), "mine")
    assert fetched == _fetch(url, tmp_path / "again")
    assert server.count("mine.zip") == 1
    assert _list_files(tmp_path / "again") == _list_files(tmp_path / "raw") == THREE_FILES


def test_a_damaged_zip_is_removed_from_the_cache_but_a_local_one_is_not(images, tmp_path, server):
    path = _zip_folder(images(glass=2, metal=1))
    intact, url = path.read_bytes(), server.url("mine.zip")
    path.write_bytes(intact[:200] + bytes(50) + intact[250:])
    server.serve("mine.zip", path.read_bytes())
    for source in (path, url):
        with pytest.raises(UserError, match="be undamaged"):
            _fetch(source, tmp_path / "raw")
    assert path.exists()
    server.serve("mine.zip", intact)
    server.script("mine.zip", no_length(len(intact) // 2))  # without a length, HTTP cannot detect the truncation
    with pytest.raises(UserError, match=rf"The archive {tmp_path}/cache/\w+/mine.zip must be a whole zip"):
        _fetch(url, tmp_path / "raw")
    assert _fetch(url, tmp_path / "raw").images == 3
    assert server.count("mine.zip") == 3


def test_a_run_after_one_killed_while_unpacking_is_complete(tmp_path):
    with zipfile.ZipFile(tmp_path / "large.zip", "w") as bundle:
        for number in range(4000):
            bundle.writestr(f"{'glass' if number % 2 else 'metal'}/{number}.jpg", os.urandom(20_000))
    script = f"""
from pathlib import Path
from realwaste.sources import image_source
from realwaste.sources.stand_ins import StandIns
image_source.fetch({str(tmp_path / "large.zip")!r}, Path({str(tmp_path / "data/raw")!r}), sha256=None, seed=1,
                   images_per_class=2, stand_ins=StandIns())
"""
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("data/.tmp-*-raw/**/*.jpg")):
        assert time.monotonic() < deadline, "no file was unpacked in time"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in (tmp_path / "data").iterdir()] == [f".tmp-{process.pid}-raw"]
    assert _fetch(tmp_path / "large.zip", tmp_path / "data/raw").images == 4000
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]
    assert sorted(path.name for path in (tmp_path / "data/raw").iterdir()) == ["glass", "metal"]


@pytest.mark.parametrize("fault", ["404", "broken", "checksum"])
def test_a_wrong_response_is_an_error_and_not_replaced_by_synthetic_images(fault, tmp_path, server, monkeypatch):
    monkeypatch.setattr(image_source, "REALWASTE_URL", server.serve("realwaste.zip", b"PK\3\4 this is no zip"))
    if fault == "404":
        server.always("realwaste.zip", status(404))
    sha256 = "0" * 64 if fault == "checksum" else None
    with pytest.raises(UserError) as error:
        _fetch("auto", tmp_path / "raw", sha256=sha256)
    assert not isinstance(error.value, UnreachableError)
    assert list(tmp_path.glob("raw*")) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere/at/all", "existing folder.*absolute path.*auto, realwaste or synthetic"),
        *((url, "http") for url in ("ftp://127.0.0.1/x.zip", "file:///etc/passwd")),
    ],
)
def test_an_invalid_source_is_refused(source, message, tmp_path):
    with pytest.raises(UserError, match=f"(?s){message}"):
        _fetch(source, tmp_path / "raw")
