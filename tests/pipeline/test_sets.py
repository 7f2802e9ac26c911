"""Named sets of parameters: each fits params.yaml, and DVC takes it as it is printed."""

import json
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


def _merged(name: str) -> dict[str, Any]:
    values = params_file.read_yaml(ROOT / "params.yaml")
    for key, value in SETS[name].params.items():
        *above, leaf = key.split(".")
        section = values
        for part in above:
            section = section[part]
        assert leaf in section, key
        section[leaf] = value
    return values


@pytest.mark.parametrize("name", SETS)
def test_a_set_fits_the_parameters(name):
    assert params_file.check(_merged(name)).model_dump() == _merged(name)


@pytest.mark.parametrize("name", SETS)
def test_dvc_reads_the_options_as_they_are_meant(name, tmp_path):
    file = shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(file, shlex.split(sets.options(SETS, name))[1::2])
    assert params_file.read_yaml(tmp_path / "params.yaml") == _merged(name)


def test_train_without_a_checkout_has_the_parameters_of_edge_and_of_the_set_best():
    values = params_file.read_yaml(ROOT / "params.yaml")
    for params, layers in ((params_file.check(values), None), (params_file.check(_merged("best")), "block3a")):
        recipe = FinetuneRecipe.from_params(params.finetune_edge, classes=6, seed=42, dtype_policy="mixed_bfloat16")
        assert train_model.build_recipe(6, 216, 42, "mixed_bfloat16", layers) == recipe


def test_lists_and_spaces(tmp_path):
    (tmp_path / "s.yaml").write_text("a: {about: x, params: {lr_sweep.learning_rates: [0.0001, 1]}}")
    assert sets.options(sets.load(tmp_path / "s.yaml"), "a") == "-S lr_sweep.learning_rates=[0.0001,1]"
    (tmp_path / "s.yaml").write_text("a: {about: x, params: {fetch.source: my photos}}")
    with pytest.raises(UserError, match=r"a\.params\.fetch\.source"):
        sets.load(tmp_path / "s.yaml")


def test_without_a_name_each_is_described_in_a_line(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert sets.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SETS)
    assert max(map(len, lines)) <= 120


def test_an_unknown_set_is_two_lines_and_dvc_does_not_go_on_without_it(clone):
    done = subprocess.run(
        [sys.executable, "-m", "tools.sets", "quik"], cwd=clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert "Did you mean quick?" in done.stderr
    output = run(clone, "sh", "-c", f"dvc exp run $({sys.executable} -m tools.sets quik)", ok=False)
    assert "unrecognized arguments: --unknown-set" in output


@pytest.mark.slow
def test_the_quick_set_runs(clone):
    quick = f"$({sys.executable} -m tools.sets quick)"
    output = run(clone, "sh", "-c", f"dvc exp run -n quick {quick} -S train_cnn.epochs=3")
    assert set(ran(output)) == set(ORDER)
    assert params_file.read_yaml(clone / "params.yaml")["train_cnn"]["epochs"] == 3, "an option after the set wins"
    rows = json.loads((clone / "metrics/compare.json").read_text())
    assert [rows[name]["backbone"] for name in ("cnn", "irv2", "densenet")] == [
        "CNN",
        "MobileNetV2",
        "MobileNetV3Small",
    ]
    assert "quick" in run(clone, sys.executable, "-m", "tools.experiments")
