"""DVC deletes outputs before a stage runs: sources in them are refused first, and what a person added is moved out."""

import shutil
from pathlib import Path

import pytest
from tiny_pipeline import ran, run

from benchmarks.parts.workspace import set_params
from realwaste.core.errors import UserError
from realwaste.core.files import write_csv
from realwaste.sources import output_protection


def _contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _source(clone: Path, source: str) -> None:
    set_params(clone, fetch__source=source)


def test_a_source_that_dvc_would_delete_is_refused_before_it_does(clone):
    raw = clone / "data/raw"
    shutil.copytree(clone / "outside", raw)
    before = _contents(raw)
    _source(clone, "data/raw")
    said = run(clone, "dvc", "repro", "fetch", ok=False)
    assert "fetch.source must lie outside of what stages write" in said
    assert "Traceback" not in said
    assert _contents(raw) == before


def test_what_fetch_did_not_bring_is_moved_out_and_never_over_another(clone):
    """As `make repro` does first, and DVC where a source has changed and with -f."""
    shutil.rmtree(clone / "data", ignore_errors=True)
    _source(clone, "synthetic")
    raw, added = clone / "data/raw", clone / "data/added"
    (raw / "Glass").mkdir(parents=True)
    (raw / "Glass/theirs.jpg").write_bytes(b"theirs")
    write_csv(clone / "data/fetched.csv", output_protection.listing(raw))
    files = {"mine.jpg": b"mine", "theirs.jpg": b"mended by hand", ".DS_Store": b"x"}
    for name, content in files.items():
        (raw / "Glass" / name).write_bytes(content)
    command = next(line for line in (clone / "Makefile").read_text().splitlines() if "check_source" in line).split()
    said = run(clone, *command)
    assert "2 files in data/raw were not from fetch, moved to data/added/" in said
    expected = {"Glass/mine.jpg": b"mine", "Glass/theirs.jpg": b"mended by hand"}
    assert _contents(added) == expected
    assert _contents(raw) == {"Glass/.DS_Store": b"x"}
    (raw / "Glass/mine.jpg").write_bytes(b"a second")
    run(clone, *command)
    assert _contents(added) == expected | {"Glass/mine_2.jpg": b"a second"}


@pytest.mark.slow
def test_photographs_in_data_raw_survive_dvc(clone):
    shutil.rmtree(clone / "data", ignore_errors=True)
    raw, added = clone / "data/raw", clone / "data/added"
    shutil.copytree(clone / "outside", raw)
    before = _contents(raw)
    _source(clone, "synthetic")
    assert "6 files in data/raw were not from fetch" in run(clone, "dvc", "repro", "fetch")
    assert _contents(added) == before
    made = _contents(raw)
    assert len(made) == 54
    for source in ("data/raw", "data/raw/Glass", str(raw), "data/explanations/x", "data"):
        _source(clone, source)
        assert "fetch.source must lie outside" in run(clone, "dvc", "repro", "fetch", ok=False)
        assert _contents(raw) == made
    _source(clone, "synthetic")
    assert ran(run(clone, "dvc", "repro", "fetch")) == []

    (raw / "Glass/mine.jpg").write_bytes(b"mine")
    assert "1 file in data/raw was not from fetch" in run(clone, "dvc", "repro", "-f", "fetch")
    assert _contents(added) == before | {"Glass/mine.jpg": b"mine"}
    assert _contents(raw) == made
    _source(clone, "outside")
    run(clone, "dvc", "repro", "fetch")
    (raw / "shoes/mine.jpg").write_bytes(b"mine")
    _source(clone, "synthetic")  # again: DVC's cache of runs has fetch, and may not have this stage
    assert ran(run(clone, "dvc", "repro", "fetch"))[0] == "check_source"
    assert (added / "shoes/mine.jpg").read_bytes() == b"mine"
    assert _contents(raw) == made


def _refused(source: Path | str, outputs: list[Path]) -> str:
    with pytest.raises(UserError, match=r"fetch\.source must lie outside") as refused:
        output_protection.refuse_source_inside("fetch.source", str(source), outputs)
    assert len(str(refused.value).splitlines()) == 2
    return str(refused.value)


def test_no_link_and_no_table_leads_into_an_output(images, tmp_path):
    raw = images(inside="data/raw", glass=2, metal=2) / "raw"
    photos = images(inside="photos", glass=2, metal=2)
    outputs = [raw, tmp_path / "models/cnn.keras"]
    for source in (photos, "auto", "MobileNetV2", "https://example.com/data/raw", tmp_path / "missing"):
        output_protection.refuse_source_inside("fetch.source", str(source), outputs)
    (tmp_path / "link").symlink_to(raw / "glass")
    for inside in (
        raw,
        raw / "glass",
        raw / "missing",
        tmp_path / "link",
        tmp_path / "data",
        tmp_path / "models/cnn.keras",
    ):
        _refused(inside, outputs)
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nphotos/glass/glass_1.jpg,a\nlink/glass_2.jpg,b\n")
    assert "data/raw/glass/glass_2.jpg" in _refused(table, outputs)
    (photos / "paper").symlink_to(raw / "metal")
    assert "data/raw" in _refused(photos, outputs)
    (photos / "paper").unlink()
    (photos / "glass/linked.jpg").symlink_to(raw / "metal/metal_1.jpg")
    _refused(photos, outputs)


def test_a_linked_file_is_not_taken_out(images, tmp_path):
    """As DVC's own, where its cache is linked to; of a person's link the file stays where it is."""
    raw = images(inside="raw", glass=2)
    known = output_protection.listing(raw)
    assert list(known["path"]) == ["glass/glass_1.jpg", "glass/glass_2.jpg"]
    (raw / "glass/linked.jpg").symlink_to(raw / "glass/glass_1.jpg")
    assert output_protection.move_added(raw, known, tmp_path / "added") == []
    assert output_protection.move_added(tmp_path / "missing", known, tmp_path / "added") == []
    assert not (tmp_path / "added").exists()
