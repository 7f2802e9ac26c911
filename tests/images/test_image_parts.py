"""Large sets of images: folders, object stores, tar shards and Parquet files are always divided into the same parts."""

import shutil

import cv2
import pyarrow as pa
import pytest
from conftest import picture, write_tar
from pyarrow import parquet

from realwaste.core.errors import UserError
from realwaste.images import image_parts
from realwaste.images.image_parts import Part

JPEGS = [cv2.imencode(".jpg", picture(number))[1].tobytes() for number in range(5)]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for number, content in enumerate(JPEGS):
        file = root / ("glass", "metal")[number % 2] / f"[{number}] ü.JPG"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for name in (".hidden/a.jpg", "_job.json", "notes.txt"):
        file = root / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    return root


def read_all(url):
    source = image_parts.list_source(str(url))
    return [image for part in source.parts for image in image_parts.read_part(source.url, source.root, part)]


def test_files_of_a_folder_are_listed_by_name_without_hidden_ones(folder, monkeypatch):
    names = [f"glass/[{number}] ü.JPG" for number in (0, 2, 4)] + [f"metal/[{number}] ü.JPG" for number in (1, 3)]
    assert read_all(folder) == [(name, JPEGS[int(name[7])]) for name in names]
    monkeypatch.setattr(image_parts, "IMAGES_PER_PART", 2)
    source = image_parts.list_source(str(folder))
    assert [len(part.files) for part in source.parts] == [2, 2, 1]
    assert source.images == 5
    assert [Part.from_json(part.to_json()) for part in source.parts] == list(source.parts)
    assert [name for name, _ in read_all(folder)] == names


def test_the_digest_depends_on_the_files_and_not_on_their_folder(folder, tmp_path):
    digest = image_parts.list_source(str(folder)).digest()
    shutil.copytree(folder, tmp_path / "copy")
    assert image_parts.list_source(str(tmp_path / "copy")).digest() == digest
    (tmp_path / "copy/new.png").write_bytes(JPEGS[0])
    assert image_parts.list_source(str(tmp_path / "copy")).digest() != digest


def test_a_missing_or_too_large_file_has_a_reason(folder, monkeypatch):
    source = image_parts.list_source(str(folder))
    (folder / "glass/[2] ü.JPG").unlink()
    contents = dict(image_parts.read_part(source.url, source.root, source.parts[0]))
    assert "cannot be opened" in str(contents["glass/[2] ü.JPG"])
    assert contents["metal/[1] ü.JPG"] == JPEGS[1]
    monkeypatch.setattr(image_parts, "MAX_BYTES", len(JPEGS[1]) - 1)
    assert dict(read_all(folder))["metal/[1] ü.JPG"] == f"more than {len(JPEGS[1]) - 1:,} bytes"


def test_each_tar_is_a_part(tmp_path):
    write_tar(tmp_path / "a.tar", {"0001.jpg": JPEGS[0], "0001.json": b"{}", "./sub/0002.PNG": JPEGS[1]})
    write_tar(tmp_path / "b.tar.gz", {"0003.jpeg": JPEGS[2], ".DS_Store.jpg": b""}, "w:gz")
    assert len(image_parts.list_source(str(tmp_path)).parts) == 2
    expected = [("a.tar/0001.jpg", JPEGS[0]), ("a.tar/sub/0002.PNG", JPEGS[1]), ("b.tar.gz/0003.jpeg", JPEGS[2])]
    assert read_all(tmp_path) == expected
    assert read_all(tmp_path / "a.tar") == expected[:2]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_damaged_tar_has_a_reason_after_its_readable_images(tmp_path, name):
    write_tar(tmp_path / name, {"1.jpg": JPEGS[0], "2.jpg": bytes(range(256)) * 2000}, "w:gz" if "gz" in name else "w")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: max(len(JPEGS[0]) + 1600, len(content) // 2)])
    *_, (last_name, reason) = read_all(tmp_path)
    assert last_name == name
    assert reason.startswith("damaged tar file")


@pytest.mark.parametrize("column", ["image", "bytes"])
def test_parquet_files_with_bytes_or_structs_of_bytes_are_read(tmp_path, column):
    parquet.write_table(pa.table({column: JPEGS[:2], "label": [0, 1]}), tmp_path / "a.parquet")
    structs = [{"bytes": JPEGS[2], "path": None}, {"bytes": None, "path": "x"}]
    parquet.write_table(pa.table({column: structs, "path": ["glass/7.jpg", None]}), tmp_path / "b.parquet")
    assert read_all(tmp_path) == [
        ("a.parquet/0", JPEGS[0]),
        ("a.parquet/1", JPEGS[1]),
        ("glass/7.jpg", JPEGS[2]),
        ("b.parquet/1", "no image in this row"),
    ]


def test_a_parquet_file_without_images_is_refused(tmp_path):
    parquet.write_table(pa.table({"picture": JPEGS}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet must have a column image or bytes.*'picture \(binary\)'"):
        read_all(tmp_path)


@pytest.mark.parametrize("values", [["http://x/a.jpg"], [7], [{"name": "a"}]])
def test_a_parquet_column_without_bytes_is_not_taken_for_images(tmp_path, values):
    parquet.write_table(pa.table({"image": values, "bytes": JPEGS[:1]}), tmp_path / "a.parquet")
    assert read_all(tmp_path) == [("a.parquet/0", JPEGS[0])]
    parquet.write_table(pa.table({"image": values}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="with the bytes of image files"):
        read_all(tmp_path)


def test_a_damaged_parquet_file_has_a_reason(tmp_path):
    file = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"image": JPEGS}), file, compression="zstd")
    content = file.read_bytes()
    for damaged in (b"PAR1 and no more", content[:20] + bytes(60) + content[80:]):
        file.write_bytes(damaged)
        ((name, reason),) = read_all(tmp_path)
        assert name == "a.parquet"
        assert reason.startswith("damaged Parquet file: ")


def test_a_source_without_images_or_with_two_kinds_of_files_is_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"must hold images, tar shards or Parquet files.*'0 other files'"):
        image_parts.list_source(str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"must hold images"):
        image_parts.list_source(str(tmp_path / "nowhere"))
    write_tar(folder / "a.tar", {"1.jpg": JPEGS[0]})
    with pytest.raises(UserError, match=r"one of these kinds only.*'tar and images'"):
        image_parts.list_source(str(folder))
    with pytest.raises(UserError, match=r"a URL that fsspec can read"):
        image_parts.list_source("nosuch://bucket/a")
