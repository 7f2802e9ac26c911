"""dvc.yaml against the code: what a stage imports it names, and what needs no TensorFlow does not import it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from import_walk import ROOT, imported_by

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = PIPELINE["stages"]
# They start a stage and check its parameters; see dvc.yaml.
LAUNCHER = {"stages/__main__.py", "stages/params.py", "stages/process.py"}


def test_the_stages():
    assert set(STAGES) == {
        "fetch",
        "validate_images",
        "split",
        "train_cnn",
        "lr_sweep",
        "embed_irv2",
        "embed_densenet",
        "embed_edge",
        "finetune_irv2",
        "finetune_densenet",
        "finetune_edge",
        "evaluate",
        "suspects",
        "explain",
        "compare",
    }


def test_what_writes_pages_names_their_templates():
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "src/realwaste/templates").iterdir()}
    assert templates == {dep for dep in STAGES["compare"]["deps"] if "templates" in dep}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_every_module_it_imports_and_no_other(stage):
    named = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    imported = {path for path in imported_by(f"stages.{stage}") if not path.endswith("__init__.py")}
    assert named == imported
    assert not imported & LAUNCHER


def test_what_goes_on_after_a_kill_names_the_table_of_its_pictures_hashes():
    """For it stages/dependencies.py leaves the pictures themselves out."""
    going_on = {name for name, stage in STAGES.items() if "stages/dependencies.py" in stage["deps"]}
    assert {"train_cnn", "lr_sweep", "embed_irv2", "finetune_irv2"} <= going_on
    assert all({"data/manifest.csv", "data/splits.csv"} & set(STAGES[name]["deps"]) for name in going_on)


@pytest.mark.parametrize("package", ["stages", "src/realwaste"])
def test_what_every_import_runs_holds_no_code(package):
    body = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")).body
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


@pytest.mark.parametrize("stage", ["train_cnn", "lr_sweep", "embed_irv2", "finetune_irv2", "evaluate", "explain"])
def test_no_picture_code_where_training_and_testing_are(stage):
    imported = imported_by(f"stages.{stage}")
    assert not {path for path in imported if {"figures", "comparison", "charts", "report"} & {Path(path).stem}}


@pytest.mark.parametrize("stage", ["fetch", "validate_images", "split", "embed_edge", "finetune_edge", "compare"])
def test_stages_without_tensorflow_start_without_it(stage):
    code = (
        f"import sys; sys.path.insert(0, 'src'); import stages.{stage}; "
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_metrics_are_in_git_and_every_output_has_one_stage():
    metrics = [path for stage in STAGES.values() for entry in stage.get("metrics", []) for path in entry]
    assert all(list(entry.values()) == [{"cache": False}] for s in STAGES.values() for entry in s.get("metrics", []))
    outs = [next(iter(out)) if isinstance(out, dict) else out for stage in STAGES.values() for out in stage["outs"]]
    assert len({*outs, *metrics}) == len(outs) + len(metrics)


def test_every_plot_takes_its_title_from_the_data():
    for entry in PIPELINE["plots"]:
        if isinstance(entry, dict):
            template = json.loads((ROOT / f".dvc/plots/{next(iter(entry.values()))['template']}.json").read_text())
            assert "dataset" in template["title"]["text"]["expr"]


@pytest.mark.parametrize("stage", ["fetch", "validate_images", "split", "compare"])
def test_what_takes_long_to_import_is_not_waited_for(stage):
    """`make bench` measures 0.4 to 1.3 s until these stages work; scikit-learn, for the split alone, is 0.8 of it."""
    slow = {"matplotlib", "scipy.stats", "sklearn"} - ({"scipy.stats", "sklearn"} if stage == "split" else set())
    code = f"import sys; sys.path.insert(0, 'src'); import stages.{stage}; print({slow} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
