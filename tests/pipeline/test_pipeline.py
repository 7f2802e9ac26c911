"""dvc.yaml against the code: what a stage imports it names, and what needs no TensorFlow does not import it."""

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
HEAVY = [name for name in STAGES if name in {"train_cnn", "lr_sweep"} or name.startswith(("embed_", "finetune_"))]


def _module(stage: str) -> str:
    return f"stages.{STAGES[stage]['cmd'].split()[3]}"


def test_the_stages():
    assert set(STAGES) == {
        *("fetch", "validate_images", "split", "train_cnn", "lr_sweep"),
        *(f"{name}_{slot}" for name in ("embed", "finetune", "cross_validate") for slot in registry.BACKBONES),
        *("evaluate", "suspects", "probe_background", "shortcuts", "explain", "compare"),
    }
    assert len(HEAVY) == 8


def test_dvc_lock_has_no_stage_of_an_earlier_pipeline():
    """DVC keeps stages that are gone, and reads the whole file before and after each stage."""
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert {name.replace("@", "_") for name in locked} <= set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_deps_hold_every_file_it_imports_and_nothing_else(stage):
    code = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))} - set(deps.DATA.values())
    imported = deps.imported_by(_module(stage))
    held = {path: [dep for dep in code if path == dep or path.startswith(f"{dep}/")] for path in imported}
    assert all(len(entries) == 1 for entries in held.values()), held
    assert {entries[0] for entries in held.values()} == code


def test_a_label_mended_by_hand_embeds_nothing_again():
    embed = [set(STAGES[name]["deps"]) for name in STAGES if name.startswith("embed_")]
    assert all(not {"relabel.yaml", "data/manifest.csv", "data/splits.csv"} & deps for deps in embed)
    for name in ("validate_images", "suspects"):
        assert "relabel.yaml" in STAGES[name]["deps"]
    assert (ROOT / "relabel.yaml").is_file(), "DVC wants what a stage depends on to be there"


def test_a_page_s_templates_are_a_dependency_of_the_stage_that_writes_it():
    code = STAGES["compare"]["deps"]
    assert "src/realwaste/report" in code or "src/realwaste/report/templates" in code
    assert (ROOT / "src/realwaste/report/templates/report.html").is_file()


@pytest.mark.parametrize("stage", HEAVY)
def test_no_heavy_stage_depends_on_downloads_figures_commands_or_other_work_on_ray(stage):
    """So a new chart, metric or source trains nothing again."""
    code = [dep.removeprefix("src/realwaste/") for dep in STAGES[stage]["deps"] if dep.startswith("src/realwaste/")]
    packages = {dep.split("/")[0] for dep in code}
    assert not packages & {"sources", "evaluation", "report", "cli", "web"}
    on_ray = {"lr_sweep": {"training/ray_sweep.py"}, "embed": {"embedding"}}.get(
        stage if stage == "lr_sweep" else stage.partition("_")[0], set()
    )
    assert {"training/ray_sweep.py", "embedding", "embedding/ray_extraction.py"} & set(code) == on_ray
    assert ("cluster" in packages) == bool(on_ray)


def test_what_goes_on_after_a_kill_names_the_table_of_its_pictures_hashes():
    """For it stages/launcher/dependencies.py leaves the pictures themselves out."""
    files = {name: ROOT / f"{_module(name).replace('.', '/')}.py" for name in STAGES}
    going_on = [name for name, file in files.items() if "resume.progress_folder" in file.read_text(encoding="utf-8")]
    assert set(going_on) == set(HEAVY)
    assert all({"data/images.csv", "data/splits.csv"} & set(STAGES[name]["deps"]) for name in going_on)


@pytest.mark.parametrize("file", [*ROOT.glob("stages/**/__init__.py"), *ROOT.glob("src/*/*/**/__init__.py")], ids=str)
def test_what_every_import_runs_holds_no_code(file):
    """`deps` names single files of a room without it."""
    (node,) = ast.parse(file.read_text(encoding="utf-8")).body
    assert isinstance(node, ast.Expr)
    assert isinstance(node.value, ast.Constant)


def test_what_the_package_itself_runs_is_a_dependency_of_every_stage():
    text = (ROOT / "src/realwaste/__init__.py").read_text(encoding="utf-8")
    assert {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)} == {"realwaste.core"}
    assert all("src/realwaste/core/library_settings.py" in stage["deps"] for stage in STAGES.values())


def test_metrics_are_in_git_and_every_output_has_one_stage():
    metrics = [path for stage in STAGES.values() for entry in stage.get("metrics", []) for path in entry]
    assert all(list(entry.values()) == [{"cache": False}] for s in STAGES.values() for entry in s.get("metrics", []))
    outs = [next(iter(out)) if isinstance(out, dict) else out for s in STAGES.values() for out in s.get("outs", [])]
    assert len({*outs, *metrics}) == len(outs) + len(metrics)


def test_every_plot_takes_its_title_from_the_data():
    charts = [chart for entry in PIPELINE["plots"] if isinstance(entry, dict) for chart in entry.values()]
    assert len(charts) == 16
    for chart in charts:
        template = json.loads((ROOT / f".dvc/plots/{chart['template']}.json").read_text())
        assert "dataset" in template["title"]["text"]["expr"]


_SLOW_TO_IMPORT = {"matplotlib", "scipy.stats", "sklearn"}


@pytest.mark.parametrize(
    ("stage", "also_absent"),
    [
        ("fetch", _SLOW_TO_IMPORT),
        ("validate_images", _SLOW_TO_IMPORT),
        ("split", {"matplotlib"}),
        ("cross_validate", set()),
        ("evaluate", set()),
        ("suspects", set()),
        ("shortcuts", set()),
        ("compare", _SLOW_TO_IMPORT),
    ],
)
def test_a_stage_starts_without_tensorflow_and_what_takes_long_to_import(stage, also_absent):
    """TensorFlow takes five seconds. `make bench` measures 0.4 to 1.3 s until fetch, validate_images, split and compare
    work; scikit-learn, for the split alone, is 0.8 of it.
    """
    absent = {"tensorflow", "keras", *also_absent}
    code = f"import sys; sys.path.insert(0, 'src'); import stages.{stage}; print({absent} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
