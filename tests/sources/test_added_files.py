"""Files that users add to data/raw: they are moved before DVC deletes them, and a source there is refused."""

import shutil
from pathlib import Path

import pytest
from tiny_pipeline import ran, run

from benchmarks.parts.workspace import set_params
from realwaste.core.errors import UserError
from realwaste.sources import output_protection


def _contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _set_source(clone: Path, source: str) -> None:
    set_params(clone, fetch__source=source)


def test_added_files_are_moved_and_overwrite_nothing(clone):
    shutil.rmtree(clone / "data", ignore_errors=True)
    raw, added = clone / "data/raw", clone / "data/added"
    _set_source(clone, "synthetic")
    run(clone, "dvc", "repro", "fetch")
    fetched = _contents(raw)
    edited = next(name for name in fetched if name.startswith("Glass/"))
    (added / "Glass").mkdir(parents=True)
    (added / "Glass/mine.jpg").write_bytes(b"of an earlier run")
    (raw / "Glass/mine.jpg").write_bytes(b"mine")
    (raw / edited).write_bytes(b"edited")
    assert "2 files in data/raw were not from fetch, moved to data/added/" in run(clone, "dvc", "repro", "fetch")
    assert _contents(added) == {"Glass/mine.jpg": b"of an earlier run", "Glass/mine_2.jpg": b"mine", edited: b"edited"}
    assert _contents(raw) == fetched
    assert ran(run(clone, "dvc", "repro", "fetch")) == [], "nothing has changed since"
    _set_source(clone, "data/raw")
    output = run(clone, "dvc", "repro", "fetch", ok=False)
    assert "fetch.source must lie outside of what stages write" in output
    assert "Traceback" not in output
    assert _contents(raw) == fetched


@pytest.mark.slow
def test_photographs_in_data_raw_survive_dvc(clone):
    shutil.rmtree(clone / "data", ignore_errors=True)
    raw, added = clone / "data/raw", clone / "data/added"
    shutil.copytree(clone / "outside", raw)
    before = _contents(raw)
    _set_source(clone, "synthetic")
    assert "6 files in data/raw were not from fetch" in run(clone, "dvc", "repro", "fetch")
    assert _contents(added) == before
    generated = _contents(raw)
    assert len(generated) == 54
    _set_source(clone, "outside")
    run(clone, "dvc", "repro", "fetch")
    (raw / "shoes/mine.jpg").write_bytes(b"mine")
    _set_source(clone, "synthetic")
    run(clone, "dvc", "repro", "fetch")
    assert (added / "shoes/mine.jpg").read_bytes() == b"mine"
    assert _contents(raw) == generated


def _error_for(source: Path | str, outputs: list[Path]) -> str:
    with pytest.raises(UserError, match=r"fetch\.source must lie outside") as error:
        output_protection.refuse_source_inside("fetch.source", str(source), outputs)
    assert len(str(error.value).splitlines()) == 2
    return str(error.value)


def test_sources_inside_an_output_are_refused_also_through_links_and_tables(images, tmp_path):
    raw = images(inside="data/raw", glass=2, metal=2) / "raw"
    photos = images(inside="photos", glass=2, metal=2)
    outputs = [raw, tmp_path / "models/cnn.keras"]
    for source in (photos, "auto", "MobileNetV2", "https://example.com/data/raw", tmp_path / "missing"):
        output_protection.refuse_source_inside("fetch.source", str(source), outputs)
    (tmp_path / "link").symlink_to(raw / "glass")
    sources = [raw, raw / "glass", raw / "missing", *(tmp_path / name for name in ("link", "data", "models/cnn.keras"))]
    for source in sources:
        _error_for(source, outputs)
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nphotos/glass/glass_1.jpg,a\nlink/glass_2.jpg,b\n")
    assert "data/raw/glass/glass_2.jpg" in _error_for(table, outputs)
    (photos / "paper").symlink_to(raw / "metal")
    assert "data/raw" in _error_for(photos, outputs)
    (photos / "paper").unlink()
    (photos / "glass/linked.jpg").symlink_to(raw / "metal/metal_1.jpg")
    _error_for(photos, outputs)


def test_links_are_not_moved(images, tmp_path):
    """DVC may link files to its cache, and the file of a user's link is elsewhere."""
    raw = images(inside="raw", glass=2)
    fetched = output_protection.list_files(raw)
    assert list(fetched["path"]) == ["glass/glass_1.jpg", "glass/glass_2.jpg"]
    (raw / "glass/linked.jpg").symlink_to(raw / "glass/glass_1.jpg")
    assert output_protection.move_added_files(raw, fetched, tmp_path / "added") == []
    assert output_protection.move_added_files(tmp_path / "missing", fetched, tmp_path / "added") == []
    assert not (tmp_path / "added").exists()
