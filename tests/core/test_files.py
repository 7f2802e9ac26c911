import json

import pytest

from realwaste.core.files import atomic_replace, is_stage_output, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "deep/a.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(target, {"a": float("nan")})
    with pytest.raises(RuntimeError, match="full"), atomic_replace(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("full")
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_whole(tmp_path):
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
