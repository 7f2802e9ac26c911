"""Every kind of fetch.source, against a server on the loopback and folders that the tests make."""

import zipfile
from pathlib import Path

import pytest
from servers import PlayServer, status

from realwaste import dataset
from realwaste.checksum import checksum
from realwaste.errors import UnreachableError, UserError

NOWHERE = "http://127.0.0.1:9/realwaste.zip"  # the discard port: nobody listens there


@pytest.fixture
def server():
    with PlayServer() as running:
        yield running


def _fetch(source, target, **changed):
    values = {"sha256": None, "seed": 1, "images_per_class": 2, "realwaste_url": NOWHERE} | changed
    return dataset.fetch(str(source), target, **values)


def _zipped(root: Path) -> Path:
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as bundle:
        for file in sorted(root.rglob("*.jpg")):
            bundle.write(file, file.relative_to(root).as_posix())
    return path


def _names(target: Path) -> list[str]:
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*.*"))


def test_a_folder(images, tmp_path):
    fetched = _fetch(images(glass=2, metal=1), tmp_path / "raw")
    assert (fetched.dataset, fetched.images, fetched.classes, fetched.sha256) == ("set", 3, 2, None)
    assert _names(tmp_path / "raw") == ["glass/glass_1.jpg", "glass/glass_2.jpg", "metal/metal_1.jpg"]


def test_a_zip_and_its_checksum(images, tmp_path):
    archive = _zipped(images(inside="set/deep/er", glass=2, metal=1))
    good = checksum(archive)
    fetched = _fetch(archive, tmp_path / "raw", sha256=good.upper())
    assert (fetched.dataset, fetched.images, fetched.sha256) == ("set", 3, good)
    assert _names(tmp_path / "raw") == ["glass/glass_1.jpg", "glass/glass_2.jpg", "metal/metal_1.jpg"]
    with pytest.raises(UserError, match=r"must have the sha256 of fetch\.sha256"):
        _fetch(archive, tmp_path / "other", sha256="0" * 64)
    assert not (tmp_path / "other").exists()


def test_a_url_is_downloaded_once(images, tmp_path, server):
    server.serve("mine.zip", _zipped(images(glass=2, metal=1)).read_bytes())
    first = _fetch(server.url("mine.zip"), tmp_path / "raw")
    again = _fetch(server.url("mine.zip"), tmp_path / "again")
    assert first == again
    assert first.dataset == "mine"
    assert len(server.ranges("mine.zip")) == 1
    assert _names(tmp_path / "again") == _names(tmp_path / "raw")


def test_realwaste_by_name_needs_its_published_counts(images, tmp_path, server, monkeypatch):
    server.serve("realwaste.zip", _zipped(images(inside="set/realwaste-main/RealWaste", Glass=2, Metal=1)).read_bytes())
    url = server.url("realwaste.zip")
    with pytest.raises(UserError, match="published 4752 images in 9 classes"):
        _fetch("realwaste", tmp_path / "raw", realwaste_url=url)
    assert not (tmp_path / "raw").exists()
    monkeypatch.setattr(dataset, "REALWASTE_COUNTS", {"Glass": 2, "Metal": 1})
    assert _fetch("auto", tmp_path / "raw", realwaste_url=url).dataset == "RealWaste"


def test_without_a_network_auto_is_loudly_synthetic(tmp_path, capfd):
    fetched = _fetch("auto", tmp_path / "raw")
    assert (fetched.dataset, fetched.images) == ("synthetic", 18)
    said = capfd.readouterr().err
    assert "SYNTHETIC IMAGES, NOT PHOTOGRAPHS" in said
    assert "fetch.source=realwaste" in said


def test_without_a_network_realwaste_is_an_error(tmp_path):
    with pytest.raises(UnreachableError):
        _fetch("realwaste", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("fault", ["404", "broken", "checksum"])
def test_a_server_that_answers_wrongly_is_an_error_and_never_a_fallback(fault, tmp_path, server):
    server.serve("realwaste.zip", b"PK\3\4 this is no zip")
    if fault == "404":
        server.always("realwaste.zip", status(404))
    sha256 = "0" * 64 if fault == "checksum" else None
    with pytest.raises(UserError) as refusal:
        _fetch("auto", tmp_path / "raw", realwaste_url=server.url("realwaste.zip"), sha256=sha256)
    assert not isinstance(refusal.value, UnreachableError)
    assert list(tmp_path.glob("raw*")) == []


@pytest.mark.parametrize("source", ["nowhere/at/all", "ftp://127.0.0.1/x.zip", "file:///etc/passwd"])
def test_what_is_no_source_is_refused(source, tmp_path):
    with pytest.raises(UserError):
        _fetch(source, tmp_path / "raw")
