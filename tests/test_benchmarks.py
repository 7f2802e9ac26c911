"""The benchmark's tasks run, made tiny, and its tables say what was measured. No figure here means anything."""

import json

import keras
import pytest
from import_walk import ROOT

from benchmarks import leakage, limits, pages, pipeline, precisions, remedies, report, tables
from realwaste import manifest, split
from realwaste.atomic import write_csv


@pytest.fixture
def work(images, tmp_path):
    root = images(glass=10, metal=10, inside="data/raw")
    accepted, _ = manifest.scan(root / "raw")
    write_csv(root / "splits.csv", split.stratified(accepted, train=0.6, val=0.2, test=0.2, seed=1))
    return str(tmp_path)


@pytest.fixture(autouse=True)
def _no_policy_left_behind():
    yield
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.filterwarnings("ignore:Your `PyDataset` class:UserWarning")
def test_both_sides_of_the_cnn(work):
    assert report.cnn(work, 1, size=16)["seconds"] > 0
    assert report.sweep(work, 1, [0.001], size=16)["seconds"] > 0
    assert pipeline.train(work, 1, "float32", size=16)["precision"] == "float32"
    assert pipeline.sweep(work, 1, [0.001], "auto", size=16)["seconds"] > 0


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_both_sides_of_the_fine_tuning(work):
    found = report.finetune(work, "MobileNetV2", 10, 2, size=32)
    assert found["seconds"] > found["measured_seconds"] > 0
    ours = pipeline.finetune(work, "MobileNetV2", 2, "float32", size=32)
    assert ours["same_class"] == ours["tested"] == 4
    assert ours["probability_difference"] < 1e-4


def test_the_limits(work):
    found = limits.embedding_rate(work=work, name="MobileNetV2", size=32, policy="float32", images=16, repeats=1)
    assert {"keras_seconds", "bare_seconds", "pipeline_seconds"} <= set(found)
    assert limits.validation_rate(work, 1)["images"] == 20
    assert [len(seconds) for seconds in limits.epoch_ends(64, 2)["seconds"].values()] == [2, 2, 2]


def test_what_bfloat16_changes(work):
    found = precisions.heads(work, "MobileNetV2", 32, [1, 2])
    assert found["answers"] == 8
    assert len(precisions.cnns(work, [1], 1, size=16)["best_accuracies"]) == 1


def test_the_ratio_is_that_of_the_pairs():
    slow, fast = ([{"seconds": value} for value in values] for values in ((10, 30, 12), (1, 3, 2)))
    assert tables.ratio(slow, fast) == 10


def test_the_readmes_table_is_that_of_the_results():
    found = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert pages.into(text, "make bench", tables.readme(found)) == text
    assert tables.results(found) == (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [leakage, remedies])
def test_pages_have_the_tables_of_the_kept_results(module):
    page = module.PAGE.read_text(encoding="utf-8")
    found = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    assert pages.into(page, module.COMMAND, module.table(found)) == page
