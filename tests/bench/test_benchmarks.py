"""The benchmarks run on tiny inputs, and their tables agree with the stored results."""

import functools
import json
import operator
from dataclasses import replace

import keras
import pytest
from tiny_pipeline import save_extractor

from benchmarks import claims, fine_tuning, report_claims, scale, whole
from benchmarks.parts import claim_tables, embedding_speed, pages, pipeline, report, s3_server, scale_tables, tables
from benchmarks.parts.child import ROOT, measure
from benchmarks.parts.workspace import unpack_committed
from realwaste.core.errors import UserError
from realwaste.core.files import write_csv
from realwaste.dataset import manifest, split
from realwaste.models import cnn, model_file
from realwaste.models.model_file import Classifier, ModelMetadata
from stages.launcher import params_file


@pytest.fixture
def work(images, tmp_path):
    """A folder with photographs and a split, as the benchmarks expect it."""
    root = images(glass=10, metal=10, inside="data/raw")
    accepted, *_ = manifest.scan(root / "raw")
    write_csv(root / "splits.csv", split.stratified(accepted, train=0.6, val=0.2, test=0.2, seed=1))
    return str(tmp_path)


@pytest.fixture(autouse=True)
def _dtype_policy_is_restored():
    yield
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.filterwarnings("ignore:Your `PyDataset` class:UserWarning")
def test_report_and_pipeline_benchmarks_train_the_cnn(work):
    assert report.cnn(work, 1, size=16)["seconds"] > 0
    assert report.sweep(work, 1, [0.001], size=16)["seconds"] > 0
    assert pipeline.train(work, 1, "float32", size=16)["precision"] == "float32"
    assert pipeline.sweep(work, 1, [0.001], "auto", size=16)["seconds"] > 0


@pytest.fixture
def extractor(tmp_path):
    """The file of a backbone with one convolution and inputs of 32 pixels."""
    save_extractor(tmp_path / "extractor.keras")
    return str(tmp_path / "extractor.keras")


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_report_and_pipeline_benchmarks_train_a_head_on_a_backbone(work, extractor):
    report_result = report.finetune(work, "MobileNet", 10, 2, size=32)
    assert report_result["seconds"] > report_result["measured_seconds"] > 0
    pipeline_result = pipeline.finetune(work, extractor, 2, "float32", size=32)
    assert pipeline_result["same_class"] == pipeline_result["tested"] == 4
    assert pipeline_result["probability_difference"] < 1e-4


def test_time_embedding_times_keras_the_network_and_the_pipeline(work, extractor):
    result = embedding_speed.time_embedding(work=work, name=extractor, size=32, policy="float32", images=16, repeats=1)
    assert {"keras_seconds", "bare_seconds", "pipeline_seconds"} <= set(result)


def test_ratio_is_the_median_of_the_ratios_of_pairs():
    slow, fast = ([{"seconds": value} for value in values] for values in ((10, 30, 12), (1, 3, 2)))
    assert tables.ratio(slow, fast) == 10


def test_readme_and_results_page_agree_with_the_results():
    measurements = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert pages.into(text, "make bench", tables.readme(measurements)) == text
    assert tables.results(measurements) == (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [claims, fine_tuning, report_claims, scale, whole])
def test_pages_agree_with_the_stored_results(module):
    page = module.PAGE.read_text(encoding="utf-8")
    record = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    assert pages.into(page, module.COMMAND, module.table(record)) == page


def test_claim_a_agrees_with_the_committed_metrics(tmp_path):
    """Both files are of the last commit: a run on another processor changes the metrics in the working tree."""
    if not unpack_committed(tmp_path, "metrics", "benchmarks"):
        pytest.skip("no git repository with these files in its last commit")
    committed = json.loads((tmp_path / claims.RESULTS.relative_to(ROOT)).read_text(encoding="utf-8"))
    assert claims.extract(tmp_path) == committed["A"]


def test_claims_that_did_not_run_are_marked_and_each_row_has_its_command():
    text = claim_tables.table({})
    assert text.count(f"**{claim_tables.NOT_RUN}**") == len(claim_tables.CLAIMS)
    for claim in claim_tables.CLAIMS.values():
        assert claim is claim_tables.DEFAULT or f"`{claim.command()}`" in text


def test_commands_of_claims_set_existing_parameters():
    """Paths replace the placeholders, and params.yaml has each key."""
    for claim in claim_tables.CLAIMS.values():
        arguments = claim.arguments({"PHOTOS": "/p", "EXTRACTOR": "/e.keras", "OUTSIDE": "/o"})
        assert arguments[:3] == ["dvc", "exp", "run"]
        params = dict(argument.split("=") for argument in arguments[4::2])
        assert not [value for value in params.values() for placeholder in claim_tables.PLACES if placeholder in value]
        defaults = params_file.read_yaml(ROOT / "params.yaml")
        for key in params:
            functools.reduce(operator.getitem, key.split("."), defaults)  # fails for an unknown parameter


@pytest.mark.slow
def test_a_claim_is_run_and_resumed(images, tmp_path):
    photos = images(glass=10, metal=10, paper=10, inside="photos")
    small_params = (
        "train_cnn.image_size=32 train_cnn.epochs=1 lr_sweep.epochs=1 base.seeds=[1,2]"
        " finetune_irv2.backbone=MobileNetV2 finetune_irv2.weights=random finetune_irv2.image_size=32"
        " finetune_densenet.backbone=MobileNetV2 finetune_densenet.weights=random finetune_densenet.image_size=32"
    )
    claim = claim_tables.Claim("photos", "tiny", None, ("fetch.source=PHOTOS", *small_params.split()))
    for _ in range(2):  # the second run resumes in the checkout of the first
        root = claims.run(claim, tmp_path / "work", {"PHOTOS": str(photos)})
    record = claims.extract(root)
    assert record["dataset"] == "photos"
    assert list(record["models"]) == ["cnn", "irv2", "densenet", "edge", "ensemble"]
    assert record["models"]["irv2"]["repeats"]["runs"] == 2
    text = claim_tables.table({"B": record})
    assert "irv2: MobileNetV2 (RANDOM weights)" in text
    assert text.count(f"**{claim_tables.NOT_RUN}**") == len(claim_tables.CLAIMS) - 1
    with pytest.raises(UserError, match="must succeed"):
        claims.run(replace(claim, params=(*claim.params, "train_cnn.epochs=0")), tmp_path / "work", {"PHOTOS": "."})


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the server's sockets
def test_each_source_is_predicted_and_its_steps_are_timed(images, tmp_path):
    metadata = ModelMetadata("cnn", ("a", "b"), 32, "drawn", cnn.BACKBONE, cnn.WEIGHTS, batch_size=4)
    model_file.save(tmp_path / "cnn.keras", Classifier(cnn.build(32, 2, batch_norm_momentum=0.9), metadata))
    (tmp_path / "work").mkdir()
    arguments = {"model": str(tmp_path / "cnn.keras")}
    count = 2 * scale.IMAGES_PER_PART + 1
    with s3_server.started(scale.BUCKET) as server:
        sources = scale.make_sources(tmp_path / "work", images(glass=3), count, server.client)
        assert tuple(sources) == scale_tables.SOURCES
        for url in (sources[scale_tables.SOURCES[0]], sources[scale_tables.SOURCES[-1]]):
            result = measure("scale.predict_set", url=url, address=None, **arguments)
            assert result["images"] == count
            assert result["rate"] > 0
        steps = measure("scale.time_steps", sources=sources, folder=str(tmp_path / "work"), **arguments)
    assert set(steps["seconds"]) == set(scale_tables.STEPS) | {f"list, {source}" for source in sources}
    assert min(steps["seconds"].values()) > 0
    assert steps["listed_bytes"] > len("000000.jpg")


def test_the_scale_table_extrapolates_the_measured_rates():
    listing = {f"list, {source}": 1e-5 for source in scale_tables.SOURCES}
    seconds = dict.fromkeys(scale_tables.STEPS, 0.001) | listing | {"decode": 0.009, "predict": 0.1}
    steps = {"seconds": seconds, "precision": "float32", "image_bytes": 1e5, "row_bytes": 50, "listed_bytes": 1000}
    rates = dict(zip(scale_tables.ENGINES, (6.0, 5.5, 10.0), strict=True))
    runs = [
        {"engine": engine, "source": source, "rate": rate, "start": 36, "images": 7}
        for engine, rate in rates.items()
        for source in scale_tables.SOURCES
    ]
    text = scale_tables.table({"model": "m.keras", "machine": "M", "steps": [steps], "runs": runs})
    expected = ("5 images/s per core", "10 (1.82×)", "| a million images | 56 | 3.5 h |", "100 TB", "50 GB")
    for phrase in (*expected, "more than 10.0 times as fast", "1,000 images/s: 10 cores", "2.8 h and 1 TB", "100 MB"):
        assert phrase in text
