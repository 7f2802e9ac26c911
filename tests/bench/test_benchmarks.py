"""The benchmark's tasks run, made tiny, and its tables say what was measured. No figure here means anything."""

import json
from dataclasses import replace

import keras
import pytest

from benchmarks import claims, report_claims, scale, shooting_order, whole
from benchmarks.parts import claim as claim_rows
from benchmarks.parts import (
    claim_tables,
    limits,
    pages,
    pipeline,
    report,
    scale_tables,
    tables,
)
from benchmarks.parts.child import ROOT, measure
from benchmarks.parts.workspace import unpack_committed
from realwaste.core.errors import UserError
from realwaste.core.files import write_csv
from realwaste.dataset import manifest, split
from stages.launcher import params_file


@pytest.fixture
def work(images, tmp_path):
    root = images(glass=10, metal=10, inside="data/raw")
    accepted, *_ = manifest.scan(root / "raw")
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


def test_the_ratio_is_that_of_the_pairs():
    slow, fast = ([{"seconds": value} for value in values] for values in ((10, 30, 12), (1, 3, 2)))
    assert tables.ratio(slow, fast) == 10


def test_the_readmes_table_is_that_of_the_results():
    found = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert pages.into(text, "make bench", tables.readme(found)) == text
    assert tables.results(found) == (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [claims, report_claims, scale, shooting_order, whole])
def test_pages_have_the_tables_of_the_kept_results(module):
    page = module.PAGE.read_text(encoding="utf-8")
    found = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    assert pages.into(page, module.COMMAND, module.table(found)) == page


def test_the_findings_are_those_of_the_kept_results():
    page = shooting_order.FINDINGS.read_text(encoding="utf-8")
    found = json.loads(shooting_order.RESULTS.read_text(encoding="utf-8"))
    assert pages.into(page, shooting_order.COMMAND, shooting_order.findings(found)) == page


def test_the_claim_of_the_committed_results_has_their_numbers(tmp_path):
    """Committed against committed: a run on another processor leaves other numbers in the working tree."""
    if not unpack_committed(tmp_path, "metrics", "benchmarks"):
        pytest.skip("no git repository with these files in its last commit")
    kept = json.loads((tmp_path / claims.RESULTS.relative_to(ROOT)).read_text(encoding="utf-8"))
    assert claims.extract(tmp_path) == kept["A"]


def test_what_was_not_run_says_so_and_every_row_has_its_command():
    text = claim_tables.table({})
    assert text.count(f"**{claim_tables.NOT_RUN}**") == len(claim_rows.CLAIMS)
    for claim in claim_rows.CLAIMS.values():
        assert claim is claim_rows.DEFAULT or f"`{claim.command()}`" in text


def test_commands_are_those_that_run():
    """The set and the places filled in; dvc.yaml's parameters know every key."""
    for claim in claim_rows.CLAIMS.values():
        words = claim.words({"PHOTOS": "/p", "EXTRACTOR": "/e.keras", "OUTSIDE": "/o"})
        assert words[:3] == ["dvc", "exp", "run"]
        named = dict(word.split("=") for word in words[4::2])
        assert not [value for value in named.values() for place in claim_rows.PLACES if place in value]
        whole = params_file.read_yaml(ROOT / "params.yaml")
        for key in named:
            value = whole
            for part in key.split("."):
                value = value[part]


@pytest.mark.slow
def test_a_row_is_run_and_filled_in(images, tmp_path):
    photos = images(glass=10, metal=10, paper=10, inside="photos")
    small = (
        "train_cnn.image_size=32 train_cnn.epochs=1 lr_sweep.epochs=1 base.seeds=[1,2]"
        " finetune_irv2.backbone=MobileNetV2 finetune_irv2.weights=random finetune_irv2.image_size=32"
        " finetune_densenet.backbone=MobileNetV2 finetune_densenet.weights=random finetune_densenet.image_size=32"
    )
    claim = claim_rows.Claim("photos", "tiny", None, ("fetch.source=PHOTOS", *small.split()))
    for _ in range(2):  # the second time in the checkout that the first has left
        root = claims.run(claim, tmp_path / "work", {"PHOTOS": str(photos)})
    found = claims.extract(root)
    assert found["dataset"] == "photos"
    assert list(found["models"]) == ["cnn", "irv2", "densenet", "ensemble"]
    assert found["models"]["irv2"]["repeats"]["runs"] == 2
    text = claim_tables.table({"B": found})
    assert "irv2: MobileNetV2 (RANDOM weights)" in text
    assert text.count(f"**{claim_tables.NOT_RUN}**") == len(claim_rows.CLAIMS) - 1
    with pytest.raises(UserError, match="end well"):
        claims.run(replace(claim, params=(*claim.params, "train_cnn.epochs=0")), tmp_path / "work", {"PHOTOS": "."})


def test_what_embedding_costs(work):
    found = measure("scale.apart", photos=f"{work}/data/raw", name="MobileNetV2", size=32)
    assert set(found["seconds"]) == set(scale_tables.STEPS)
    assert found["bytes_a_vector"] > 4 * found["width"] == 4 * 1280


def test_the_cost_model_is_arithmetic():
    seconds = {"read": 0.001, "hash": 0.001, "decode": 0.009, "backbone": 0.1, "write": 0.0001}
    run = {"seconds": seconds, "bytes_an_image": 100_000, "bytes_a_vector": 5000, "width": 1280}
    sides = {"Ray, one node of one core": 5.5, "Ray, two nodes of one core": 10.0}
    runs = [{"side": side, "rate": rate, "start": 36, "seconds": 9, "images": 7} for side, rate in sides.items()]
    found = {"backbone": "B", "size": 1, "cores": 2, "apart": [run], "runs": runs}
    model = scale_tables.costs(found)
    assert model.hours(3600 * 50, 10) == pytest.approx(1 + 0.01)
    assert model.writer_cores() == pytest.approx(2000)
    assert model.decoding_rate() == pytest.approx(100)
    text = scale_tables.table(found)
    for said in ("5.0 images/s a core", "1.82×", "**Computed**", "100 TB", "5 TB", "more than 10.0 times as fast"):
        assert said in text
