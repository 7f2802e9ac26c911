"""`make deps` writes what tests/test_pipeline.py asks for, and leaves the rest of dvc.yaml alone."""

import pytest

from benchmarks.parts.child import ROOT
from tools.deps import rewritten

TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def test_the_committed_file_is_as_it_would_be_written():
    assert rewritten(TEXT) == TEXT


def test_forgotten_and_superfluous_code_is_put_right():
    wrong = TEXT.replace("      - src/realwaste/sweep\n", "", 1).replace(
        "    deps:\n      - data/raw\n", "    deps:\n      - src/realwaste/nowhere.py\n      - data/raw\n", 1
    )
    assert "nowhere" in wrong
    assert "realwaste/sweep" not in wrong
    assert rewritten(wrong) == TEXT


def test_a_new_stage_needs_no_more_than_the_word_deps():
    stage = "stages:\n  parts:\n    cmd: python -m stages split\n"
    lines = rewritten(stage + "    deps:\n      - data/manifest.csv\n    outs:\n      - a.py\n").splitlines()
    # Most of a room as a folder, a file of a larger one by name.
    assert lines[4:8] == [
        "      - data/manifest.csv",
        "      - src/realwaste/core",
        "      - src/realwaste/dataset",
        "      - src/realwaste/report/figures.py",
    ]
    assert lines[-3:] == ["      - stages/split.py", "    outs:", "      - a.py"]
    with pytest.raises(ValueError, match="give parts"):
        rewritten(stage)
