"""`make deps` writes what tests/test_pipeline.py asks for, and leaves the rest of dvc.yaml alone."""

import pytest
from import_walk import ROOT
from write_deps import rewritten

TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def test_the_committed_file_is_as_it_would_be_written():
    assert rewritten(TEXT) == TEXT


def test_forgotten_and_superfluous_modules_are_put_right():
    wrong = TEXT.replace("      - src/realwaste/sweep.py\n", "", 1).replace(
        "    deps:\n      - data/raw\n", "    deps:\n      - src/realwaste/nowhere.py\n      - data/raw\n", 1
    )
    assert "nowhere" in wrong
    assert rewritten(wrong) == TEXT


def test_a_new_stage_needs_no_more_than_the_word_deps():
    new = "stages:\n  split:\n    cmd: x\n    deps:\n      - data/manifest.csv\n    outs:\n      - a.py\n"
    lines = rewritten(new).splitlines()
    assert lines[4:6] == ["      - data/manifest.csv", "      - src/realwaste/atomic.py"]
    assert lines[-3:] == ["      - stages/split.py", "    outs:", "      - a.py"]
    with pytest.raises(ValueError, match="give split"):
        rewritten("stages:\n  split:\n    cmd: x\n")
