"""`make deps` writes what tests/pipeline/test_pipeline.py asks for, and leaves the rest of dvc.yaml alone."""

import pytest

from benchmarks.parts.child import ROOT
from tools import deps

TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def test_the_committed_file_is_up_to_date():
    assert deps.rewrite(TEXT) == TEXT
    assert len(TEXT.splitlines()) <= 480


def test_forgotten_and_superfluous_code_is_corrected():
    wrong = TEXT.replace("src/realwaste/training/batches.py, ", "", 1).replace(
        "[data/raw, data/splits.csv", "[data/raw, src/realwaste/nowhere.py, data/splits.csv", 1
    )
    assert "nowhere" in wrong
    assert wrong.count("training/batches.py") == TEXT.count("training/batches.py") - 1
    assert deps.rewrite(wrong) == TEXT


def test_a_new_stage_needs_only_its_data():
    stage = "stages:\n  parts:\n    cmd: python -m stages split\n"
    text = deps.rewrite(stage + "    deps: [data/manifest.csv]\n    outs:\n      - a.py\n")
    lines = text.splitlines()
    assert lines[3:5] == [
        "    deps:",
        "      [data/manifest.csv, src/realwaste/core/files.py, src/realwaste/core/keras_home,",
    ]
    assert lines[-2:] == ["    outs:", "      - a.py"]
    assert lines[-3].endswith("stages/split.py]")
    with pytest.raises(ValueError, match="give parts"):
        deps.rewrite(stage)


def test_parameters_come_from_the_stage_s_file(tmp_path, monkeypatch):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/finetune.py").write_text('PARAMS = ["base.seed", "finetune_{slot}.epochs"]\n')
    monkeypatch.setattr(deps, "ROOT", tmp_path)
    assert deps.declared_params("stages.finetune", ["irv2"]) == ["base.seed", "finetune_irv2.epochs"]
    assert deps.declared_params("stages.finetune", ["a", "b"]) == [
        "base.seed",
        "finetune_a.epochs",
        "finetune_b.epochs",
    ]
    (tmp_path / "stages/split.py").write_text("import os\n")
    assert deps.declared_params("stages.split", []) is None


def test_a_change_in_logging_or_another_training_leaves_the_cnn_alone():
    used = deps.imported_by("stages.train_cnn")
    assert not [path for path in used if "sweep" in path or "finetune" in path or "cluster" in path]
    assert not used & deps.NO_EFFECT
    assert all((ROOT / path).is_file() for path in deps.NO_EFFECT)


def test_files_that_modules_read_are_named():
    """Whatever lies in a package that a stage uses and is no code."""
    read = {str(path.relative_to(ROOT)) for path in ROOT.glob("src/realwaste/*/*") if "__pycache__" not in str(path)}
    data = {path for path in read if not path.endswith(".py") and "/web/" not in path}
    assert data == set(deps.DATA.values())
