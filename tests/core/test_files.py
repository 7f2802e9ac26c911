"""Atomic writes of files and folders, and CSV tables that are read back unchanged."""

import json
import os

import pandas as pd
import pytest

from realwaste.core.files import atomic_replace, is_stage_output, read_csv, write_csv, write_json


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path):
    target = tmp_path / "deep/a.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(target, {"a": float("nan")})
    with pytest.raises(RuntimeError, match="full"), atomic_replace(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("full")
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_completely_or_not_at_all(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with atomic_replace(target, is_stage_output) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"]
    with pytest.raises(RuntimeError, match="full"), atomic_replace(target, is_stage_output) as temporary:
        temporary.mkdir()
        raise RuntimeError("full")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("create", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_only_regular_files_are_replaced(create, tmp_path):
    create(tmp_path / "a.json")
    files_before = list(tmp_path.iterdir())
    with pytest.raises(FileExistsError, match="something else is there"):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == files_before


def test_a_folder_created_during_the_write_is_not_replaced(tmp_path):
    with pytest.raises(FileExistsError), atomic_replace(tmp_path / "a") as temporary:
        temporary.write_text("new")
        (tmp_path / "a").mkdir()
        (tmp_path / "a/other").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "other"]


def test_write_csv_quotes_a_carriage_return_so_that_read_csv_keeps_it(tmp_path):
    table = pd.DataFrame({"path": ["a\rb.jpg", "c.jpg"], "n": [1, 2], "share": [0.1, None]})
    write_csv(tmp_path / "a.csv", table)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "a.csv"), table)
    write_csv(tmp_path / "b.csv", table.iloc[1:])
    assert (tmp_path / "b.csv").read_text() == "path,n,share\nc.jpg,2,\n"
