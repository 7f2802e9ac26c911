"""Named sets of parameters: each is valid in params.yaml, and DVC parses its printed options."""

import functools
import json
import operator
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from tiny_pipeline import ORDER, ran, run

from benchmarks.parts.child import ROOT
from realwaste.cli import train_model
from realwaste.core.errors import UserError
from realwaste.training.finetune_recipe import FinetuneRecipe
from stages.launcher import params_file
from tools import sets

SETS = sets.load(ROOT / "sets.yaml")


def _params_with_set(name: str) -> dict[str, Any]:
    values = params_file.read_yaml(ROOT / "params.yaml")
    for key, value in SETS[name].params.items():
        *parents, key_name = key.split(".")
        section = functools.reduce(operator.getitem, parents, values)
        assert key_name in section, key
        section[key_name] = value
    return values


@pytest.mark.parametrize("name", SETS)
def test_params_with_a_named_set_are_valid(name):
    assert params_file.check(_params_with_set(name)).model_dump() == _params_with_set(name)


@pytest.mark.parametrize("name", SETS)
def test_dvc_parses_the_options_of_a_set(name, tmp_path):
    file = shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(file, shlex.split(sets.options(SETS, name))[1::2])
    assert params_file.read_yaml(tmp_path / "params.yaml") == _params_with_set(name)


def test_realwaste_train_uses_the_parameters_of_edge_and_of_the_set_best():
    values = params_file.read_yaml(ROOT / "params.yaml")
    for params, layers in ((params_file.check(values), None), (params_file.check(_params_with_set("best")), "block3a")):
        recipe = FinetuneRecipe.from_params(params.finetune_edge, classes=6, seed=42, dtype_policy="mixed_bfloat16")
        assert train_model.build_recipe(6, 216, 42, "mixed_bfloat16", layers) == recipe


def test_lists_are_written_without_spaces_and_text_with_spaces_is_rejected(tmp_path):
    (tmp_path / "s.yaml").write_text("a: {about: x, params: {lr_sweep.learning_rates: [0.0001, 1]}}")
    assert sets.options(sets.load(tmp_path / "s.yaml"), "a") == "-S lr_sweep.learning_rates=[0.0001,1]"
    (tmp_path / "s.yaml").write_text("a: {about: x, params: {fetch.source: my photos}}")
    with pytest.raises(UserError, match=r"a\.params\.fetch\.source"):
        sets.load(tmp_path / "s.yaml")


def test_without_a_name_one_line_describes_each_set(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert sets.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SETS)
    assert max(map(len, lines)) <= 120


def test_an_unknown_set_is_reported_and_makes_dvc_fail(clone):
    result = subprocess.run(
        [sys.executable, "-m", "tools.sets", "quik"], cwd=clone, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2
    assert "Did you mean quick?" in result.stderr
    output = run(clone, "sh", "-c", f"dvc exp run $({sys.executable} -m tools.sets quik)", ok=False)
    assert "unrecognized arguments: --unknown-set" in output


@pytest.mark.slow
def test_the_quick_set_runs(clone):
    options = f"$({sys.executable} -m tools.sets quick)"
    output = run(clone, "sh", "-c", f"dvc exp run -n quick {options} -S train_cnn.epochs=3")
    assert set(ran(output)) == set(ORDER)
    assert params_file.read_yaml(clone / "params.yaml")["train_cnn"]["epochs"] == 3, "the later option must win"
    rows = json.loads((clone / "metrics/compare.json").read_text())
    backbones = [rows[name]["backbone"] for name in ("cnn", "irv2", "densenet")]
    assert backbones == ["CNN", "MobileNetV2", "MobileNetV3Small"]
    assert "quick" in run(clone, sys.executable, "-m", "tools.experiments")
