"""`make deps` writes the deps that test_pipeline.py checks, and leaves the rest of dvc.yaml unchanged."""

import pytest

from benchmarks.parts.child import ROOT
from tools import deps

TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def test_the_committed_dvc_yaml_is_up_to_date():
    assert deps.rewrite(TEXT) == TEXT
    assert len(TEXT.splitlines()) <= 480


def test_missing_deps_are_added_and_superfluous_deps_are_removed():
    outdated = TEXT.replace("src/realwaste/training/batches.py, ", "", 1).replace(
        "[data/raw, data/splits.csv", "[data/raw, src/realwaste/nowhere.py, data/splits.csv", 1
    )
    assert "nowhere" in outdated
    assert outdated.count("training/batches.py") == TEXT.count("training/batches.py") - 1
    assert deps.rewrite(outdated) == TEXT


def test_code_deps_are_added_to_a_stage_that_lists_only_its_data():
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


def test_declared_params_are_read_from_the_module_of_the_stage(tmp_path, monkeypatch):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/finetune.py").write_text('PARAMS = ["base.seed", "finetune_{slot}.epochs"]\n')
    monkeypatch.setattr(deps, "ROOT", tmp_path)
    assert deps.declared_params("stages.finetune", ["irv2"]) == ["base.seed", "finetune_irv2.epochs"]
    expected = ["base.seed", "finetune_a.epochs", "finetune_b.epochs"]
    assert deps.declared_params("stages.finetune", ["a", "b"]) == expected
    (tmp_path / "stages/split.py").write_text("import os\n")
    assert deps.declared_params("stages.split", []) is None


def test_train_cnn_does_not_depend_on_logging_or_on_other_training_code():
    imported = deps.imported_by("stages.train_cnn")
    assert not [path for path in imported if "sweep" in path or "finetune" in path or "cluster" in path]
    assert not imported & deps.NO_EFFECT
    assert all((ROOT / path).is_file() for path in deps.NO_EFFECT)


def test_deps_data_lists_every_data_file_of_the_packages():
    """Every file of a package that is not Python code, except those of the package web, which no stage imports."""
    package_files = {
        str(path.relative_to(ROOT)) for path in ROOT.glob("src/realwaste/*/*") if "__pycache__" not in str(path)
    }
    data_files = {path for path in package_files if not path.endswith(".py") and "/web/" not in path}
    assert data_files == set(deps.DATA.values())
