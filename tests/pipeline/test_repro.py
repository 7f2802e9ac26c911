"""The real pipeline with tiny parameters, in its own clone: what runs, what a change reruns, and how errors look."""

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
def completed(clone) -> Path:
    """The clone after one complete run. The output of the run is in run.log beside it."""
    log = run(clone, "sh", "-c", "dvc repro 2>&1")
    (clone.parent / "run.log").write_text(log, encoding="utf-8")
    assert set(ran(log)) == set(ORDER)
    return clone


def test_each_stage_logs_the_expected_lines(completed):
    log = (completed.parent / "run.log").read_text(encoding="utf-8")
    for stage in log.split("Running stage '")[1:]:
        name, _, lines = stage.partition("'")
        info_lines = [line for line in lines.splitlines() if " INFO " in line]
        is_training = name == "train_cnn" or name.startswith(("embed@", "finetune_"))
        # A training logs its device and its end. The sweep also logs each rate, and evaluate each model.
        expected_counts = {"lr_sweep": 4, "evaluate": 1 + len(MODELS)}
        assert len(info_lines) == expected_counts.get(name, 2 if is_training else 1), lines
        assert ("computes on" in info_lines[0]) == (is_training or name == "lr_sweep")
        assert not re.search("absl|oneDNN|cuda", lines)
    assert log.count(", RANDOM weights ") == 2
    banner = " ".join(log.rpartition(" INFO ")[2].replace("│", " ").split())
    assert "Stand-ins with RANDOM weights, whose scores mean nothing: irv2 (MobileNet), densenet (MobileNet)." in banner


@pytest.mark.parametrize("model", MODELS)
def test_saved_models_reproduce_the_evaluated_predictions(completed, model):
    """Heads are evaluated on cached vectors, the CNN on images. The saved files must give the same predictions."""
    classifier = session.open_session(completed / f"models/{model}.keras")
    assert classifier.metadata.precision == device.resolve_precision("auto")
    table = pd.read_csv(completed / "data/predictions.csv").query("model == @model")
    expected = prediction_table.probabilities_of(table)
    assert set(table["temperature"]) == {classifier.metadata.temperature}
    images = [completed / "data/raw" / path for path in table["path"]]
    predictions = list(image_predictions.predict_images(classifier, images))
    rows = [{entry.name: entry.probability for entry in prediction.predictions} for prediction in predictions]
    probabilities = np.array([[row[name] for name in classifier.metadata.classes] for row in rows])
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    is_novel = np.array([prediction.is_novel for prediction in predictions], float)
    novel_shares = {
        split: (is_novel[table["split"] == split].mean(), (table["split"] == split).sum()) for split in ("val", "test")
    }
    # Rounding may move the image that lies on the threshold to its other side.
    assert novel_shares["val"][0] == pytest.approx(0.05, abs=1.5 / novel_shares["val"][1])
    measured_share = json.loads((completed / "metrics/evaluate.json").read_text())[model]["strange_test_share"]
    assert measured_share == pytest.approx(novel_shares["test"][0], abs=1.5 / novel_shares["test"][1])


def test_an_unchanged_pipeline_runs_no_stage(completed):
    assert ran(run(completed, "dvc", "repro")) == []


def _read_metrics(root: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(), parse_constant=pytest.fail) for path in root.glob("metrics/*")}


def test_metrics_and_plot_data_of_every_stage_are_complete(completed):
    metrics = _read_metrics(completed)
    for name in ("embed_irv2", "embed_densenet", "evaluate", "external", "cost", "shortcuts", "compare"):
        assert metrics[name]["machine"][machine.INFERENCE] == "openvino", "inference-only networks"
    assert metrics["fetch"]["dataset"] == metrics["compare"]["dataset"] == "synthetic"
    assert metrics["fetch"]["irv2"]["weights"] == metrics["finetune_irv2"]["weights"] == "random"
    assert sum(metrics["split"][part] for part in ("train", "val", "test")) == 54
    assert metrics["lr_sweep"]["best_learning_rate"] in {0.001, 0.01}
    for model in MODELS:
        model_metrics = metrics["evaluate"][model]
        assert {"test_accuracy", "test_loss", "macro_f1", "ece", "temperature"} <= set(model_metrics)
        assert model_metrics.get("repeats", {}).get("runs") == (None if model == "cnn" else 2)
        assert set(model_metrics["per_class"]["Food Organics"]) == {"precision", "recall", "f1", "support"}
        weights = {"cnn": "trained from random", "edge": EXTRACTOR}.get(model, "random")
        assert metrics["compare"][model]["weights"] == weights
        assert "reported_test_accuracy" not in metrics["compare"][model]
        folds = 2 if model == "edge" else None  # stand-ins are not cross-validated
        assert model_metrics.get("other_splits", {}).get("folds") == folds
    assert metrics["external"]["sets"].keys() == {"outside"}
    external = metrics["external"]["sets"]["outside"]
    _check_external_metrics(external, metrics["split"]["classes"]["test"])
    _check_machine_records(metrics)
    assert metrics["suspects"]["backbones"] == "edge", "only pretrained backbones are used to find suspects"
    assert metrics["shortcuts"]["backbone"] == EXTRACTOR
    assert list(metrics["shortcuts"]["models"]) == ["cnn", "edge"], "no stand-ins"
    assert metrics["compare"]["ensemble"]["members"] == "cnn, edge"
    structures = pd.read_csv(completed / "plots/data/architecture.csv").groupby("model")["parameters"].sum()
    for model in MODELS:
        row, curve = metrics["compare"][model], metrics["evaluate"][model].get("learning_curve")
        assert (curve is not None) == (model == "edge"), "none for stand-ins, and none for the CNN by default"
        if curve:
            assert row["images_at_50"] < row["images_at_100"] == curve["at_100"]["images"] == metrics["split"]["train"]
        assert row["train_test_gap_low"] <= row["train_test_gap"] <= row["train_test_gap_high"]
        assert row["outside_outside_accuracy"] == external["models"][model]["outside"]["accuracy"]
        assert structures[model] == row["parameters"] > 0 < row["multiply_adds"]
    assert metrics["compare"]["cnn"]["trained_layers"] == 7
    assert len(pd.read_csv(completed / "plots/data/learning_curve.csv")) == 2


def _check_external_metrics(external: dict[str, Any], test_counts: dict[str, int]) -> None:
    assert (external["source"], external["images"], external["rejected"]) == ("outside", 6, 0)
    for model in MODELS:
        model_metrics = external["models"][model]
        assert set(model_metrics["outside"]["per_class"]) == {"Food Organics", "Metal"}
        assert model_metrics["home"]["images"] == test_counts["Food Organics"] + test_counts["Metal"]
        assert model_metrics["outside"]["images"] == 4
        assert model_metrics["outside"]["unknown"]["folders"]["shoes"]["images"] == 2


def _check_machine_records(metrics: dict[str, dict[str, Any]]) -> None:
    machines = {name: record["machine"] for name, record in metrics.items() if "machine" in record}
    assert machines.keys() == metrics.keys() - {"fetch", "validate_images", "split", "summary"}
    assert len({tuple(record[key] for key in ("processor", "cores", "gpu")) for record in machines.values()}) == 1
    assert all(list(record)[: len(machine.KEYS)] == list(machine.KEYS) for record in machines.values())


def test_the_report_the_model_cards_and_the_saved_models_are_complete(completed):
    metrics = {
        name: json.loads((completed / f"metrics/{name}.json").read_text()) for name in ("cost", "split", "evaluate")
    }
    cnn = metrics["cost"]["cnn"]
    # Keras and OpenVINO store four bytes per parameter each. An optimizer would add eight.
    assert cnn["file_mb"] * 1e6 < 9 * cnn["parameters"], "the saved CNN contains its optimizer"
    table = pd.read_csv(completed / "data/predictions.csv")
    assert len(table) == 4 * 54
    assert table.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert len(list(completed.glob("plots/*.png"))) == 14
    page = (completed / "plots/report.html").read_text(encoding="utf-8")
    assert "generated, not photographs" in page
    assert "Images of other classes, in outside" in page
    for model in MODELS:
        assert "Trained on generated pictures" in (completed / f"models/{model}.md").read_text(encoding="utf-8")
        metadata = model_file.read_metadata(completed / f"models/{model}.keras")
        assert metadata.classes == tuple(sorted(metrics["split"]["classes"]["test"]))
        assert (metadata.name, metadata.image_size, metadata.dataset) == (model, 32, "synthetic")
        assert metadata.temperature == metrics["evaluate"][model]["temperature"] > 0


def test_the_notebook_runs_on_the_results_of_a_run(completed, monkeypatch):
    monkeypatch.chdir(completed / "docs")
    plt.switch_backend("agg")
    namespace, (split, accuracy_table, confusion, predictions, _) = notebook.executed()
    plt.close("all")
    assert split.to_numpy().sum() == 54
    assert list(accuracy_table.columns) == ["train", "val"], "the notebook must not use the test split"
    assert confusion.to_numpy().sum() == len(namespace["of_best"]) == 11
    assert len(predictions) == len(namespace["wrong"]) > 0
    # The model must predict what the table contains. Of two equally likely classes, either may be predicted.
    for row in namespace["wrong"].itertuples():
        probabilities = predictions.loc[Path(row.path).name].drop("unlike").astype(float)
        assert probabilities[row.predicted] > probabilities.max() - 1e-3


def test_dvc_shows_metrics_and_draws_every_plot(completed):
    assert "cnn.test_accuracy" in run(completed, "dvc", "metrics", "show", "--md").replace("evaluate.json", "")
    plots = json.loads(run(completed, "dvc", "plots", "show", "--json").partition("\n")[0])
    assert "errors" not in plots
    assert len(plots["data"]) == 16 + 14
    for name, (plot,) in plots["data"].items():
        if not name.endswith(".png"):
            assert '"dataset": "synthetic"' in json.dumps(plot["content"]).replace('\\"', '"'), name


DENSENET_AND_LATER = ["finetune_densenet", "cross_validate@densenet", "evaluate", "shortcuts", "explain", "compare"]


@pytest.mark.parametrize(
    ("changes", "rerun"),
    [
        pytest.param(
            {"train_cnn__learning_rate": 0.002, "finetune_densenet__epochs": 3},
            ["train_cnn", *DENSENET_AND_LATER],
            marks=pytest.mark.slow,
        ),
        pytest.param({"lr_sweep__epochs": 2}, ["lr_sweep", "compare"], marks=pytest.mark.slow),
        pytest.param(
            {"explain__mistakes": 1, "shortcuts__backbone": "densenet"},
            ["probe_background", "shortcuts", "explain", "compare"],
            marks=pytest.mark.slow,
        ),
        ({"plots__color": "#445566"}, ["validate_images", "split", "compare"]),
    ],
)
def test_a_change_reruns_only_the_affected_stages_and_quiet_prints_nothing(completed, changes, rerun):
    before = _read_lock(completed)
    set_params(completed, **changes)
    assert run(completed, "dvc", "repro", "-q") == ""
    after = _read_lock(completed)
    assert {stage for stage in after if after[stage] != before[stage]} == set(rerun)


def _read_lock(root: Path) -> dict[str, Any]:
    """The entries of dvc.lock: the parameters of each stage, and the hashes of its inputs and outputs."""
    return dict(yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"])


@pytest.mark.slow
def test_another_backbone_reruns_only_the_dependent_stages(completed):
    """The new backbone also has augmented views, fine-tuned last layers, a repeat, and test-time augmentation."""
    edge = {"backbone": "MobileNet", "weights": "random", "image_size": 32, "epochs": 2}
    edge |= {"unfreeze": "conv_pw_13", "test_flips": "horizontal", "test_crops": "middle"}
    edge["views"] = {"count": 1, "crop": 0.2, "stretch": 0.2, "color": 0.2, "background": 0.5, "degrade": 0.5}
    set_params(completed, **{f"finetune_edge__{key}": value for key, value in edge.items()})
    changed = {"fetch", "embed@edge", "finetune_edge", "cross_validate@edge", "compare"}
    assert set(json.loads(run(completed, "dvc", "status", "--json"))) == changed
    rerun = {"fetch", "embed_edge", "finetune_edge", "suspects", "probe_background", "shortcuts", "explain", "compare"}
    rerun |= {"evaluate", "cross_validate_irv2", "cross_validate_densenet", "cross_validate_edge"}
    assert set(ran(run(completed, "dvc", "repro"))) == rerun
    metrics = {name: json.loads((completed / f"metrics/{name}.json").read_text()) for name in ("compare", "evaluate")}
    row = metrics["compare"]["edge"]
    assert (row["backbone"], row["weights"]) == ("MobileNet", "random")
    # A head of 128 units on 1024 features, and the last convolution, 1024 by 1024.
    assert row["trainable_parameters"] == 1024 * 128 + 128 + 128 * 9 + 9 + 1024 * 1024
    assert "edge_vs_ensemble" in metrics["compare"]["pairs"]
    assert metrics["evaluate"]["edge"]["repeats"]["runs"] == 2
    assert "its last layers (conv_pw_13) were fine-tuned" in " ".join(
        (completed / "models/edge.md").read_text().split()
    )
    assert len(pd.read_csv(completed / "data/predictions.csv")) == 4 * 54
    assert len(pd.read_csv(completed / "plots/data/history_edge.csv")) == 2 + 10


def test_an_unknown_layer_is_rejected_before_training(completed, tmp_path, monkeypatch):
    """tests/training/test_unfreezing.py covers all rejected names and numbers."""
    shutil.copyfile(completed / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, finetune_irv2__unfreeze="no_such_layer")
    monkeypatch.chdir(completed)
    values = params_file.load("finetune_irv2", tmp_path / "params.yaml")
    monkeypatch.setattr(FinetuneJob, "fit", lambda *_: pytest.fail("a training started"))
    with pytest.raises(UserError, match="unfreeze must"):
        finetune.main(values, "irv2")


@pytest.mark.slow
def test_diverging_learning_rates_are_reported_and_the_pipeline_continues(completed):
    rates = {"train_cnn__learning_rate": 1.0e30, "finetune_densenet__learning_rate": 1.0e30}
    set_params(
        completed, lr_sweep__learning_rates=[0.001, 1.0e30], evaluate__learning_curve=CURVE | {"cnn": True}, **rates
    )
    run(completed, "dvc", "repro")
    metrics = _read_metrics(completed)
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
def run_failing_stage(clone, tmp_path, monkeypatch, capsys):
    """A function that runs a stage in a folder with invalid sources, checks for status 1, and returns its output."""
    for name in ("params.yaml", "dvc.yaml", EXTRACTOR):
        shutil.copyfile(clone / name, tmp_path / name)
    (tmp_path / "outside").mkdir()  # evaluate.external names it
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
        ("fetch", {"fetch__sources": "x"}, r"fetch\.sources is not a parameter"),
        ("train_cnn", {"split__train": 0.7}, r"must sum to 1"),
        ("train_cnn", {"train_cnn__epochs": "ten"}, r"train_cnn\.epochs"),
        ("fetch", {"finetune_irv2__backbone": "InceptionResnetV3"}, r"Did you mean InceptionResNetV2"),
    ],
)
def test_a_user_error_prints_two_lines_and_returns_status_one(run_failing_stage, tmp_path, stage, values, message):
    _check_error_lines(run_failing_stage(stage, **values), message)
    assert not (tmp_path / "data/raw").exists()
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_an_unknown_stage_prints_two_lines_and_exits_with_status_one(clone):
    output = run(clone, sys.executable, "-m", "stages", "finetune_irv2", ok=False)
    _check_error_lines(output, r"must be given a stage.*'finetune_irv2'.*finetune irv2, finetune densenet")


def _check_error_lines(output: str, message: str) -> None:
    assert re.search(message, re.sub(r"\s+", " ", output))
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) <= 4
