"""The real pipeline made tiny, in a clone of its own: what runs, what reruns after which change, how errors look."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import notebook
import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_pipeline import CURVE, EXTRACTOR, ORDER, ran, run

from benchmarks.parts.workspace import set_params
from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.evaluation import prediction_table
from realwaste.models import image_predictions, model_file, session
from realwaste.models.registry import MODELS
from realwaste.runtime import device
from realwaste.training.finetune_job import FinetuneJob
from stages import __main__ as launcher
from stages import finetune
from stages.launcher import params_file


@pytest.fixture(scope="module")
def done(clone) -> Path:
    """The clone after one whole run; what it said is in run.log beside it."""
    log = run(clone, "sh", "-c", "dvc repro 2>&1")
    (clone.parent / "run.log").write_text(log, encoding="utf-8")
    assert set(ran(log)) == set(ORDER)
    return clone


def test_a_stage_ends_with_one_line(done):
    log = (done.parent / "run.log").read_text(encoding="utf-8")
    for stage in log.split("Running stage '")[1:]:
        name, _, lines = stage.partition("'")
        infos = [line for line in lines.splitlines() if " INFO " in line]
        trains = name == "train_cnn" or name.startswith(("embed@", "finetune_"))
        # What it computes on, and the end; the sweep has a line for each rate too, and evaluate one for each model.
        several = {"lr_sweep": 4, "evaluate": 1 + len(MODELS)}
        assert len(infos) == several.get(name, 2 if trains else 1), lines
        assert ("computes on" in infos[0]) == (trains or name == "lr_sweep")
        assert not re.search("absl|oneDNN|cuda", lines)
    assert log.count(", RANDOM weights ") == 2
    box = " ".join(log.rpartition(" INFO ")[2].replace("│", " ").split())
    assert "Stand-ins with RANDOM weights, whose scores mean nothing: irv2 (MobileNet), densenet (MobileNet)." in box


@pytest.mark.parametrize("model", MODELS)
def test_what_was_tested_is_what_predict_answers(done, model):
    """Heads are tested on cached vectors, the CNN on pictures; whoever uses the saved file gets the same answers."""
    classifier = session.open_session(done / f"models/{model}.keras")
    assert classifier.metadata.precision == device.resolve_precision("auto")
    table = pd.read_csv(done / "data/predictions.csv").query("model == @model")
    tested = prediction_table.probabilities_of(table)
    assert set(table["temperature"]) == {classifier.metadata.temperature}
    answers = list(image_predictions.predict_images(classifier, [done / "data/raw" / path for path in table["path"]]))
    by_name = [{one.name: one.probability for one in answer.predictions} for answer in answers]
    probabilities = np.array([[one[name] for name in classifier.metadata.classes] for one in by_name])
    np.testing.assert_allclose(probabilities, tested, atol=1e-4)
    unlike = np.array([answer.is_novel for answer in answers], float)
    shares = {
        split: (unlike[table["split"] == split].mean(), (table["split"] == split).sum()) for split in ("val", "test")
    }
    # Rounding may move the picture that lies on the threshold.
    assert shares["val"][0] == pytest.approx(0.05, abs=1.5 / shares["val"][1])
    measured = json.loads((done / "metrics/evaluate.json").read_text())[model]["strange_test_share"]
    assert measured == pytest.approx(shares["test"][0], abs=1.5 / shares["test"][1])


def test_nothing_changed_nothing_runs(done):
    assert ran(run(done, "dvc", "repro")) == []


def _read_metrics(root: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(), parse_constant=pytest.fail) for path in root.glob("metrics/*")}


def test_every_number_and_picture_is_there(done):
    metrics = _read_metrics(done)
    for name in ("embed_irv2", "embed_densenet", "evaluate", "external", "cost", "shortcuts", "compare"):
        assert metrics[name]["machine"][machine.INFERENCE] == "openvino", "inference-only networks"
    assert metrics["fetch"]["dataset"] == metrics["compare"]["dataset"] == "synthetic"
    assert metrics["fetch"]["irv2"]["weights"] == metrics["finetune_irv2"]["weights"] == "random"
    assert sum(metrics["split"][part] for part in ("train", "val", "test")) == 54
    assert metrics["lr_sweep"]["best_learning_rate"] in {0.001, 0.01}
    for model in MODELS:
        facts = metrics["evaluate"][model]
        assert {"test_accuracy", "test_loss", "macro_f1", "ece", "temperature"} <= set(facts)
        assert facts.get("repeats", {}).get("runs") == (None if model == "cnn" else 2)
        assert set(facts["per_class"]["Food Organics"]) == {"precision", "recall", "f1", "support"}
        weights = {"cnn": "trained from random", "edge": EXTRACTOR}.get(model, "random")
        assert metrics["compare"][model]["weights"] == weights
        assert "reported_test_accuracy" not in metrics["compare"][model]
        assert facts.get("other_splits", {}).get("folds") == (2 if model == "edge" else None), "no stand-in"
    assert metrics["external"]["sets"].keys() == {"outside"}
    external = metrics["external"]["sets"]["outside"]
    assert (external["source"], external["images"], external["rejected"]) == ("outside", 6, 0)
    for model in MODELS:
        model_metrics = external["models"][model]
        assert set(model_metrics["outside"]["per_class"]) == {"Food Organics", "Metal"}
        tested = metrics["split"]["classes"]["test"]
        assert model_metrics["home"]["images"] == tested["Food Organics"] + tested["Metal"]
        assert model_metrics["outside"]["images"] == 4
        assert model_metrics["outside"]["unknown"]["folders"]["shoes"]["images"] == 2
    machines = {name: model_metrics["machine"] for name, model_metrics in metrics.items() if "machine" in model_metrics}
    assert machines.keys() == metrics.keys() - {"fetch", "validate_images", "split", "summary"}
    assert len({tuple(record[key] for key in ("processor", "cores", "gpu")) for record in machines.values()}) == 1
    assert all(list(record)[: len(machine.KEYS)] == list(machine.KEYS) for record in machines.values())
    assert metrics["suspects"]["backbones"] == "edge", "only pretrained backbones doubt a label"
    assert metrics["shortcuts"]["backbone"] == EXTRACTOR
    assert list(metrics["shortcuts"]["models"]) == ["cnn", "edge"], "no stand-in"
    assert metrics["compare"]["ensemble"]["members"] == "cnn, edge"
    structures = pd.read_csv(done / "plots/data/architecture.csv").groupby("model")["parameters"].sum()
    for model in MODELS:
        row, curve = metrics["compare"][model], metrics["evaluate"][model].get("learning_curve")
        assert (curve is not None) == (model == "edge"), "no stand-in; of the CNN not by default"
        if curve:
            assert row["images_at_50"] < row["images_at_100"] == curve["at_100"]["images"] == metrics["split"]["train"]
        assert row["train_test_gap_low"] <= row["train_test_gap"] <= row["train_test_gap_high"]
        assert row["outside_outside_accuracy"] == external["models"][model]["outside"]["accuracy"]
        assert structures[model] == row["parameters"] > 0 < row["multiply_adds"]
    assert metrics["compare"]["cnn"]["trained_layers"] == 7
    assert len(pd.read_csv(done / "plots/data/learning_curve.csv")) == 2


def test_the_files_for_people_and_the_saved_models_are_there(done):
    metrics = {name: json.loads((done / f"metrics/{name}.json").read_text()) for name in ("cost", "split", "evaluate")}
    cnn = metrics["cost"]["cnn"]
    # Four bytes for Keras, four for OpenVINO; an optimizer would add eight.
    assert cnn["file_mb"] * 1e6 < 9 * cnn["parameters"], "the saved CNN carries its optimizer"
    table = pd.read_csv(done / "data/predictions.csv")
    assert len(table) == 4 * 54
    assert table.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert len(list(done.glob("plots/*.png"))) == 14
    page = (done / "plots/report.html").read_text(encoding="utf-8")
    assert "generated, not photographs" in page
    assert "Images of other classes, in outside" in page
    for model in MODELS:
        assert "Trained on generated pictures" in (done / f"models/{model}.md").read_text(encoding="utf-8")
        metadata = model_file.read_metadata(done / f"models/{model}.keras")
        assert metadata.classes == tuple(sorted(metrics["split"]["classes"]["test"]))
        assert (metadata.name, metadata.image_size, metadata.dataset) == (model, 32, "synthetic")
        assert metadata.temperature == metrics["evaluate"][model]["temperature"] > 0


def test_the_notebook_explores_what_a_run_left(done, monkeypatch):
    monkeypatch.chdir(done / "docs")
    plt.switch_backend("agg")
    names, (split, validated, confusion, answers, _) = notebook.executed()
    plt.close("all")
    assert split.to_numpy().sum() == 54
    assert list(validated.columns) == ["train", "val"], "the test is not looked at"
    assert confusion.to_numpy().sum() == len(names["of_best"]) == 11
    assert len(answers) == len(names["wrong"]) > 0
    # What the model says now is what was written of it then; where two classes are as likely, one of them.
    for row in names["wrong"].itertuples():
        likely = answers.loc[Path(row.path).name].drop("unlike").astype(float)
        assert likely[row.predicted] > likely.max() - 1e-3


def test_dvc_shows_metrics_and_draws_every_plot(done):
    assert "cnn.test_accuracy" in run(done, "dvc", "metrics", "show", "--md").replace("evaluate.json", "")
    drawn = json.loads(run(done, "dvc", "plots", "show", "--json").partition("\n")[0])
    assert "errors" not in drawn
    assert len(drawn["data"]) == 16 + 14
    for name, (plot,) in drawn["data"].items():
        if not name.endswith(".png"):
            assert '"dataset": "synthetic"' in json.dumps(plot["content"]).replace('\\"', '"'), name


HEADS_AND_LATER = ["finetune_densenet", "cross_validate@densenet", "evaluate", "shortcuts", "explain", "compare"]


@pytest.mark.parametrize(
    ("changes", "rerun"),
    [
        pytest.param(
            {"train_cnn__learning_rate": 0.002, "finetune_densenet__epochs": 3},
            ["train_cnn", *HEADS_AND_LATER],
            marks=pytest.mark.slow,
        ),
        pytest.param({"lr_sweep__epochs": 2}, ["lr_sweep", "compare"], marks=pytest.mark.slow),
        pytest.param({"plots__color": "#445566"}, ["validate_images", "split", "compare"], marks=pytest.mark.slow),
        (
            {"explain__mistakes": 1, "shortcuts__backbone": "densenet"},
            ["probe_background", "shortcuts", "explain", "compare"],
        ),
    ],
)
def test_only_what_changed_reruns_and_says_nothing_if_quiet(done, changes, rerun):
    before = _read_lock(done)
    set_params(done, **changes)
    assert run(done, "dvc", "repro", "-q") == ""
    after = _read_lock(done)
    assert {stage for stage in after if after[stage] != before[stage]} == set(rerun)


def _read_lock(root: Path) -> dict[str, Any]:
    """What DVC noted of each stage that ran: its parameters, and the hashes of what it read and wrote."""
    return dict(yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"])


@pytest.mark.slow
def test_another_backbone_leaves_images_and_the_other_models_alone(done):
    """Which also learns from changed views, and beyond its head, twice for the repeats, and has views at test."""
    edge = {"backbone": "MobileNet", "weights": "random", "image_size": 32, "epochs": 2}
    edge |= {"unfreeze": "conv_pw_13", "test_flips": "horizontal", "test_crops": "middle"}
    edge["views"] = {"count": 1, "crop": 0.2, "stretch": 0.2, "color": 0.2, "background": 0.5, "degrade": 0.5}
    set_params(done, **{f"finetune_edge__{key}": value for key, value in edge.items()})
    changed = {"fetch", "embed@edge", "finetune_edge", "cross_validate@edge", "compare"}
    assert set(json.loads(run(done, "dvc", "status", "--json"))) == changed
    rerun = {"fetch", "embed_edge", "finetune_edge", "suspects", "probe_background", "shortcuts", "explain", "compare"}
    rerun |= {"evaluate", "cross_validate_irv2", "cross_validate_densenet", "cross_validate_edge"}
    assert set(ran(run(done, "dvc", "repro"))) == rerun
    metrics = {name: json.loads((done / f"metrics/{name}.json").read_text()) for name in ("compare", "evaluate")}
    row = metrics["compare"]["edge"]
    assert (row["backbone"], row["weights"]) == ("MobileNet", "random")
    # The head of 128 units on 1024 features, and the last convolution, 1024 by 1024.
    assert row["trainable_parameters"] == 1024 * 128 + 128 + 128 * 9 + 9 + 1024 * 1024
    assert "edge_vs_ensemble" in metrics["compare"]["pairs"]
    assert metrics["evaluate"]["edge"]["repeats"]["runs"] == 2
    assert "its last layers (conv_pw_13) were fine-tuned" in " ".join((done / "models/edge.md").read_text().split())
    assert len(pd.read_csv(done / "data/predictions.csv")) == 4 * 54
    assert len(pd.read_csv(done / "plots/data/history_edge.csv")) == 2 + 10


def test_a_layer_that_is_not_there_is_refused_before_anything_is_trained(done, tmp_path, monkeypatch):
    """tests/training/test_unfreezing.py covers the names and numbers that are refused."""
    shutil.copyfile(done / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, finetune_irv2__unfreeze="no_such_layer")
    monkeypatch.chdir(done)
    values = params_file.load("finetune_irv2", tmp_path / "params.yaml")
    monkeypatch.setattr(FinetuneJob, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(UserError, match="unfreeze must"):
        finetune.main(values, "irv2")


@pytest.mark.slow
def test_rates_that_diverge_are_said_and_the_pipeline_goes_on(done):
    rates = {"train_cnn__learning_rate": 1.0e30, "finetune_densenet__learning_rate": 1.0e30}
    set_params(done, lr_sweep__learning_rates=[0.001, 1.0e30], evaluate__learning_curve=CURVE | {"cnn": True}, **rates)
    run(done, "dvc", "repro")
    metrics = _read_metrics(done)
    assert metrics["compare"]["cnn"]["images_at_50"] == metrics["evaluate"]["cnn"]["learning_curve"]["at_50"]["images"]
    assert metrics["train_cnn"]["diverged"] is True
    assert metrics["train_cnn"]["diverged_epoch"] == 1
    assert metrics["lr_sweep"]["best_learning_rate"] == 0.001
    assert metrics["lr_sweep"]["rates"]["1e+30"]["diverged"] is True
    assert metrics["evaluate"]["cnn"]["undefined_answers"] == 54
    assert metrics["evaluate"]["cnn"]["test_loss"] == pytest.approx(np.log(9))
    assert metrics["evaluate"]["irv2"]["undefined_answers"] == 0
    assert metrics["evaluate"]["irv2"]["repeats"]["diverged"] == 0
    repeats = metrics["evaluate"]["densenet"]["repeats"]
    assert (repeats["runs"], repeats["diverged"]) == (2, 2)
    assert repeats["test_loss_mean"] == pytest.approx(np.log(9))


@pytest.fixture
def failed(clone, tmp_path, monkeypatch, capsys):
    """failed(stage, **params): what a stage prints that fails with status 1, in a folder with sources for it."""
    for name in ("params.yaml", "dvc.yaml", EXTRACTOR):
        shutil.copyfile(clone / name, tmp_path / name)
    (tmp_path / "outside").mkdir()  # which evaluate.external names
    for folder in ("empty_class/glass", "empty_class/metal", "empty_class/paper", "one_class/glass"):
        (tmp_path / folder).mkdir(parents=True)
        if not folder.endswith("metal"):
            (tmp_path / folder / "a.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)

    def run_stage(stage: str, **values: object) -> str:
        set_params(tmp_path, **values)
        monkeypatch.setattr("sys.argv", ["stages", stage])
        assert launcher.main() == 1
        return "".join(capsys.readouterr())

    return run_stage


@pytest.mark.parametrize(
    ("stage", "values", "message"),
    [
        ("fetch", {"fetch__source": "no/such/folder"}, r"URL of a zip\. Received: 'no/such/folder'"),
        ("fetch", {"fetch__source": "empty_class"}, r"'metal' holds none"),
        ("fetch", {"fetch__source": "one_class"}, r"two classes at least"),
        ("fetch", {"fetch__sources": "x"}, r"fetch\.sources is no known parameter"),
        ("train_cnn", {"split__train": 0.7}, r"must sum to 1"),
        ("train_cnn", {"train_cnn__epochs": "ten"}, r"train_cnn\.epochs"),
        ("fetch", {"finetune_irv2__backbone": "InceptionResnetV3"}, r"Did you mean InceptionResNetV2"),
    ],
)
def test_a_mistake_gets_two_lines_and_status_one(failed, tmp_path, stage, values, message):
    _check_lines(failed(stage, **values), message)
    assert not (tmp_path / "data/raw").exists()
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_an_unknown_stage_gets_two_lines_and_ends_the_process_with_status_one(clone):
    output = run(clone, sys.executable, "-m", "stages", "finetune_irv2", ok=False)
    _check_lines(output, r"must be given a stage.*'finetune_irv2'.*finetune irv2, finetune densenet")


def _check_lines(output: str, message: str) -> None:
    assert re.search(message, re.sub(r"\s+", " ", output))
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) <= 4
