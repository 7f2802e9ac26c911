"""Checks dvc.yaml against the code: stages list their imports, and light stages do not import TensorFlow."""

import ast
import json
import subprocess
import sys

import pytest
import yaml

from benchmarks.parts.child import ROOT
from realwaste.models import registry
from stages.launcher import params_file
from tools import deps

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = params_file.read_stages(ROOT / "dvc.yaml")
HEAVY_STAGES = [
    name for name in STAGES if name in {"train_cnn", "lr_sweep"} or name.startswith(("embed_", "finetune_"))
]


def _stage_module(stage: str) -> str:
    return f"stages.{STAGES[stage]['cmd'].split()[3]}"


def test_dvc_yaml_defines_the_expected_stages():
    assert set(STAGES) == {
        *("fetch", "validate_images", "split", "train_cnn", "lr_sweep"),
        *(f"{name}_{slot}" for name in ("embed", "finetune", "cross_validate") for slot in registry.BACKBONES),
        *("evaluate", "suspects", "probe_background", "shortcuts", "explain", "compare"),
    }
    assert len(HEAVY_STAGES) == 8


def test_dvc_lock_contains_no_removed_stage():
    """DVC keeps the entries of removed stages, and reads the complete file before and after each stage."""
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert {name.replace("@", "_") for name in locked} <= set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_the_deps_of_a_stage_are_exactly_the_files_it_imports(stage):
    code = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))} - set(deps.DATA.values())
    imported = deps.imported_by(_stage_module(stage))
    matching_deps = {path: [dep for dep in code if path == dep or path.startswith(f"{dep}/")] for path in imported}
    assert all(len(entries) == 1 for entries in matching_deps.values()), matching_deps
    assert {entries[0] for entries in matching_deps.values()} == code


def test_corrected_labels_do_not_rerun_the_embed_stages():
    embed_deps = [set(STAGES[name]["deps"]) for name in STAGES if name.startswith("embed_")]
    assert all(not {"relabel.yaml", "data/manifest.csv", "data/splits.csv"} & stage_deps for stage_deps in embed_deps)
    for name in ("validate_images", "suspects"):
        assert "relabel.yaml" in STAGES[name]["deps"]
    assert (ROOT / "relabel.yaml").is_file(), "DVC requires every dependency to exist"


@pytest.mark.parametrize("stage", HEAVY_STAGES)
def test_heavy_stages_depend_on_no_sources_evaluation_report_or_cli_code(stage):
    """A new chart, metric or data source then reruns no training. Only lr_sweep and embed use code for Ray."""
    code = [dep.removeprefix("src/realwaste/") for dep in STAGES[stage]["deps"] if dep.startswith("src/realwaste/")]
    packages = {dep.split("/")[0] for dep in code}
    assert not packages & {"sources", "evaluation", "report", "cli", "web"}
    ray_code = {"embedding"} if stage.startswith("embed_") else set()
    ray_code |= {"training/ray_sweep.py"} if stage == "lr_sweep" else set()
    assert {"training/ray_sweep.py", "embedding", "embedding/ray_extraction.py"} & set(code) == ray_code
    assert ("cluster" in packages) == bool(ray_code)


def test_resumable_stages_depend_on_a_table_with_the_hashes_of_the_images():
    """stages/launcher/dependencies.py relies on these hashes: it leaves the image files out."""
    files = {name: ROOT / f"{_stage_module(name).replace('.', '/')}.py" for name in STAGES}
    resumable = [name for name, file in files.items() if "resume.progress_folder" in file.read_text(encoding="utf-8")]
    assert set(resumable) == set(HEAVY_STAGES)
    assert all({"data/images.csv", "data/splits.csv"} & set(STAGES[name]["deps"]) for name in resumable)


@pytest.mark.parametrize("file", [*ROOT.glob("stages/**/__init__.py"), *ROOT.glob("src/*/*/**/__init__.py")], ids=str)
def test_package_init_files_contain_only_a_docstring(file):
    """`make deps` can therefore omit the `__init__.py` of the packages whose files it lists."""
    (node,) = ast.parse(file.read_text(encoding="utf-8")).body
    assert isinstance(node, ast.Expr)
    assert isinstance(node.value, ast.Constant)


def test_every_stage_depends_on_the_settings_that_the_package_imports():
    text = (ROOT / "src/realwaste/__init__.py").read_text(encoding="utf-8")
    assert {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)} == {"realwaste.core"}
    assert all("src/realwaste/core/library_settings.py" in stage["deps"] for stage in STAGES.values())


def test_metrics_are_kept_in_git_and_every_output_belongs_to_one_stage():
    metrics = [path for stage in STAGES.values() for entry in stage.get("metrics", []) for path in entry]
    assert all(list(entry.values()) == [{"cache": False}] for s in STAGES.values() for entry in s.get("metrics", []))
    outs = [next(iter(out)) if isinstance(out, dict) else out for s in STAGES.values() for out in s.get("outs", [])]
    assert len({*outs, *metrics}) == len(outs) + len(metrics)


def test_every_plot_template_puts_the_data_set_into_the_title():
    charts = [chart for entry in PIPELINE["plots"] if isinstance(entry, dict) for chart in entry.values()]
    assert len(charts) == 16
    for chart in charts:
        template = json.loads((ROOT / f".dvc/plots/{chart['template']}.json").read_text())
        assert "dataset" in template["title"]["text"]["expr"]


_SLOW_PACKAGES = {"matplotlib", "scipy.stats", "sklearn"}


@pytest.mark.parametrize(
    ("stages", "also_absent"),
    [
        (("fetch", "validate_images", "compare"), _SLOW_PACKAGES),
        (("split",), {"matplotlib"}),
        (("cross_validate", "evaluate", "suspects", "shortcuts"), set()),
    ],
)
def test_stage_modules_import_neither_tensorflow_nor_other_slow_packages(stages, also_absent):
    """Importing TensorFlow takes five seconds. In `make bench`, fetch, validate_images, split and compare start within
    0.4 to 1.3 s; scikit-learn, which only the split imports, takes 0.8 s of that.
    """
    absent = {"tensorflow", "keras", *also_absent}
    imports = ", ".join(f"stages.{stage}" for stage in stages)
    code = f"import sys; sys.path.insert(0, 'src'); import {imports}; print({absent} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
