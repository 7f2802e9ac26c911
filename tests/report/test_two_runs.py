"""`realwaste report` and its comparison page of two runs. All numbers are made up."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from browser import chromium, needs_browser, opened, printed
from dvc.repo import Repo
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.core.errors import UserError
from realwaste.core.files import write_csv, write_json
from realwaste.evaluation import prediction_table
from realwaste.report import run_files, run_results, two_runs

# Raised by a library of DVC, which runs in this process.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
CLASSES = ["glass & <b>", "paper"]
IMAGES, TESTED = 60, 40


def _write_predictions(root: Path, correct: dict[str, int]) -> None:
    """Write the manifest, the predictions and the confusions of a run; see `write_run`."""
    labels = np.arange(IMAGES) % 2
    splits = pd.DataFrame(
        {
            "path": [f"{number:02}.jpg" for number in range(IMAGES)],
            "label": [CLASSES[label] for label in labels],
            "split": ["test"] * TESTED + ["train"] * (IMAGES - TESTED),
            "group": np.arange(IMAGES),
        }
    )
    manifest = splits[["path", "label"]].assign(sha256=splits["path"].map("hash of {}".format))
    write_csv(root / "data/manifest.csv", manifest)
    tables = []
    for model, count in correct.items():
        classes = np.where(np.arange(IMAGES) < count, labels, 1 - labels)
        tables.append(prediction_table.build_rows(splits, model, np.eye(2)[classes] * 0.8 + 0.1, CLASSES))
    predicted = pd.concat(tables, ignore_index=True)
    write_csv(root / "data/predictions.csv", predicted)
    confusions = prediction_table.count_confusions(predicted[predicted["split"] == "test"])
    write_csv(root / "plots/data/confusion.csv", confusions)


def write_run(
    root: Path, *, correct: dict[str, int], epochs: int = 3, changes: dict[str, object] | None = None
) -> Path:
    """Write the files of a run; of each model's TESTED test predictions, the first `correct[model]` are correct."""
    _write_predictions(root, correct)
    rows = {}
    for model, count in correct.items():
        accuracy = count / TESTED
        scores = {"macro_f1": accuracy, "test_loss": 0.5, "test_accuracy": accuracy}
        scores |= {"test_accuracy_low": accuracy - 0.1, "test_accuracy_high": accuracy + 0.1}
        rows[model] = {"backbone": model.upper(), "weights": "imagenet"} | scores
    rows["ensemble"] = rows["cnn"] | {"backbone": "Soft vote"}
    write_json(root / "metrics/compare.json", {"dataset": "photos", "origin": "given", **rows, "pairs": {}})
    write_json(root / "metrics/evaluate.json", {model: {"temperature": 1.0} for model in correct})
    write_json(root / "metrics/split.json", {"strategy": "grouped", "train": 20, "val": 0, "test": TESTED})
    steps = np.arange(1, epochs + 1)
    curves = {"loss": 1 / steps, "accuracy": 1 - 1 / (steps + 1), "val_loss": 2 / steps, "val_accuracy": 0.5}
    for model in correct:
        write_csv(root / f"plots/data/history_{model}.csv", pd.DataFrame({"epoch": steps, **curves}))
    parameters = {"epochs": epochs, "decay": {"kind": "cosine", "least": 1e-05}} | (changes or {})
    stages = {
        "fetch": {"params": {"params.yaml": {"base.seed": 42}}},
        "train_cnn": {"params": {"params.yaml": {"train_cnn": parameters}}},
    }
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    # Parameters that were edited after the run are not those of the run.
    (root / "params.yaml").write_text("train_cnn: {epochs: 99}\n")
    return root


def _write_two_runs(root: Path) -> tuple[run_results.Run, run_results.Run]:
    this_run = write_run(root / "here", correct={"cnn": 38, "irv2": 30}, epochs=5)
    other = write_run(root / "other", correct={"cnn": 20, "irv2": 31})
    return run_files.load_folder(this_run, "this run"), run_files.load_folder(other, "other")


@pytest.fixture
def runs(tmp_path) -> tuple[run_results.Run, run_results.Run]:
    return _write_two_runs(tmp_path)


def test_each_model_has_a_paired_test_on_the_test_images_of_both_runs(runs):
    paired = run_results.compare_paired(*runs)
    assert (paired.images, paired.reason, list(paired.models)) == (TESTED, "", ["cnn", "irv2", "ensemble"])
    # 18 images are correct in one run only, all in the same run: a two-sided sign test, one of three by Holm's method.
    cnn, irv2 = paired.models["cnn"], paired.models["irv2"]
    assert cnn["difference"] == pytest.approx(18 / 40)
    assert cnn["mcnemar_p"] == cnn["permutation_p"] == pytest.approx(2 * 0.5**18)
    assert cnn["p_holm"] == pytest.approx(3 * 2 * 0.5**18)
    assert irv2["p_holm"] == 1
    page = two_runs.render_page(*runs)
    assert "<strong>this run is better</strong>" in page
    assert "<strong>no difference shown</strong>" in page
    assert "after Holm&#39;s correction for 3 tests" in page


def test_a_model_with_equal_predictions_in_both_runs_is_the_same_and_not_tested(tmp_path):
    first, second = (
        run_files.load_folder(write_run(tmp_path / name, correct={"cnn": count, "irv2": 30}), name)
        for name, count in (("one", 38), ("two", 20))
    )
    paired = run_results.compare_paired(first, second)
    assert (set(paired.same), list(paired.models)) == ({"irv2"}, ["cnn", "ensemble"])
    page = two_runs.render_page(first, second)
    assert "<strong>same model</strong>" in page
    assert "after Holm&#39;s correction for 2 tests" in page
    assert run_results.compare_paired(first, first).same == {"cnn", "irv2", "ensemble"}
    assert "<i>p</i>: the larger" not in two_runs.render_page(first, first)


def test_images_of_two_runs_are_matched_by_content_and_not_by_name_alone(runs, tmp_path):
    first, _ = runs
    manifest = pd.read_csv(tmp_path / "other/data/manifest.csv")
    manifest.loc[:9, "sha256"] = "of other pictures"
    manifest.to_csv(tmp_path / "other/data/manifest.csv", index=False)
    second = run_files.load_folder(tmp_path / "other", "other")
    assert run_results.compare_paired(first, second).images == TESTED - 10
    page = two_runs.render_page(first, second)
    assert "On the 30 test images of both runs" in page
    assert f"other was tested on {TESTED}" in page
    manifest.assign(sha256="of other pictures").to_csv(tmp_path / "other/data/manifest.csv", index=False)
    page = two_runs.render_page(first, run_files.load_folder(tmp_path / "other", "other"))
    assert "No paired test was possible: the two runs have no test image in common." in page
    assert "is better</strong>" not in page


def test_without_predictions_the_difference_has_an_interval_and_no_verdict(runs, tmp_path):
    (tmp_path / "other/data/predictions.csv").unlink()
    page = two_runs.render_page(runs[0], run_files.load_folder(tmp_path / "other", "other"))
    assert "No paired test was possible: data/predictions.csv of other is missing." in page
    assert page.count("<strong>not tested in pairs</strong>") == 3
    assert "+45.0 points" in page
    # Newcombe's interval, from two intervals of ±0.1.
    assert "(+30.9 to +59.1)" in page


def test_changed_parameters_come_from_dvc_lock_and_without_it_from_params_yaml(runs, tmp_path):
    assert run_results.changed_parameters(*runs) == [("train_cnn.epochs", "5", "3")]
    changes: dict[str, object] = {"decay": {"kind": "cosine", "least": 0.1}, "new": None}
    third = write_run(tmp_path / "third", correct={"cnn": 1}, changes=changes)

    def changed_parameters():
        return run_results.changed_parameters(runs[1], run_files.load_folder(third, "third"))

    assert changed_parameters() == [("train_cnn.decay.least", "1e-05", "0.1"), ("train_cnn.new", "–", "None")]
    (third / "dvc.lock").unlink()
    assert ("train_cnn.epochs", "3", "99") in changed_parameters()
    (third / "params.yaml").unlink()
    assert changed_parameters() is None


def test_runs_on_different_data_get_a_warning_and_no_comparison(runs, tmp_path):
    compared = json.loads((tmp_path / "other/metrics/compare.json").read_text()) | {"dataset": "<shoes>"}
    compared["irv2"]["weights"] = "random"
    write_json(tmp_path / "other/metrics/compare.json", compared)
    page = two_runs.render_page(runs[0], run_files.load_folder(tmp_path / "other", "other"))
    assert "The runs are of different data, photos and &lt;shoes&gt;: their scores cannot be compared." in page
    assert "RANDOM backbone weights in other: irv2 (IRV2)." in page
    assert "is better</strong>" not in page
    assert "points" not in page.partition("</section>")[0]


def test_the_page_renders_a_run_of_an_older_version_without_most_files(tmp_path):
    """An older version of the pipeline left only the scores, here of one model."""
    old = tmp_path / "old"
    write_run(old, correct={"cnn": 20})
    for path in (*old.glob("data/*"), *old.glob("plots/data/*"), *old.glob("metrics/[es]*.json")):
        path.unlink()
    this_run = run_files.load_folder(write_run(tmp_path / "here", correct={"cnn": 20, "irv2": 31}), "this run")
    page = two_runs.render_page(this_run, run_files.load_folder(old, "old"))
    assert 'data-chart="loss_irv2_0"' in page
    assert 'data-chart="loss_cnn_1"' not in page


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page_of_long_names(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    first, second = _write_two_runs(folder)
    cnn = dict(first.rows["cnn"]) | {"weights": "a_file_of_weights_with_a_long_name.weights.h5"}
    first = dataclasses.replace(first, compared=dict(first.compared) | {"cnn": cnn})
    second = dataclasses.replace(second, name="an_experiment_with_a_rather_long_name_that_somebody_gave")
    (folder / "page.html").write_text(two_runs.render_page(first, second), encoding="utf-8")
    return folder / "page.html"


@needs_browser
@pytest.mark.parametrize("width", [390, 1400])
def test_charts_of_two_runs_are_side_by_side_and_stacked_on_a_phone(page_of_long_names, browser, width, tmp_path):
    with opened(browser, page_of_long_names.as_uri(), width=width) as opened_page:
        page = opened_page.page
        page.wait_for_selector("body.drawn")
        assert opened_page.problems == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator(".chart").count() == page.locator(".chart svg").count() == 1 + 2 * 2 * 2 + 2 * 2
        for key in ("loss_cnn", "accuracy_irv2", "confusion_cnn"):
            first, second = (page.locator(f"[data-chart={key}_{side}]").bounding_box() for side in (0, 1))
            assert first
            assert second
            assert (first["y"] == second["y"]) == (width == 1400)
            assert first["width"] > 250
        ticks = [
            page.locator(f"[data-chart=loss_cnn_{side}] .role-axis-label text").all_inner_texts()[-4:]
            for side in (0, 1)
        ]
        assert ticks[0] == ticks[1], "both charts have the same scale"
        verdicts = page.locator("#result tbody td:first-child").all_inner_texts()
        assert verdicts == ["this run is better", "no difference shown", "this run is better"]
        assert CLASSES[0] in page.locator("#confusions svg text").all_text_contents()
        assert width == 390 or 1 < printed(page.url, tmp_path / "page.pdf") <= 8


def _git(root: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A repository of git and DVC with a committed run, and a run saved as the experiment `longer`."""
    root = write_run(tmp_path_factory.mktemp("repository") / "checkout", correct={"cnn": 20, "irv2": 31})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "t")
            patch.setenv(f"GIT_{role}_EMAIL", "t@t")
        _git(root, "init", "-q")
        Repo.init()
        (root / "dvc.lock").unlink()  # with it DVC would require a dvc.yaml
        (root / "params.yaml").write_text("train_cnn: {epochs: 3}\n")
        with Repo() as repo:
            repo.add(["data/predictions.csv", "data/manifest.csv"])
            _git(root, "add", "-A")
            _git(root, "commit", "-qm", "t")
            write_run(root, correct={"cnn": 38, "irv2": 31}, epochs=5)
            (root / "dvc.lock").unlink()
            (root / "params.yaml").write_text("train_cnn: {epochs: 5}\n")
            repo.add(["data/predictions.csv"])
            repo.experiments.save(name="longer")
        _git(root, "checkout", "-q", ".")
        with Repo() as repo:
            repo.checkout()
    return root


@pytest.fixture
def checkout(repository, tmp_path, monkeypatch) -> Path:
    """A copy of the repository, as the current folder."""
    root = shutil.copytree(repository, tmp_path / "checkout")
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    return root


def test_find_run_accepts_an_experiment_a_revision_and_a_folder(checkout):
    this_run = run_files.load_folder(Path(), "this run")
    longer = run_files.find_run("longer")
    assert run_results.changed_parameters(longer, this_run) == [("train_cnn.epochs", "5", "3")]
    assert run_results.compare_paired(longer, this_run).models["cnn"]["difference"] == pytest.approx(18 / 40)
    assert "cnn" in run_results.compare_paired(run_files.find_run("HEAD"), this_run).same
    for name in ("data/predictions.csv", "data/manifest.csv"):
        (checkout / name).unlink()
    from_cache = run_files.load_folder(Path(), "this run")
    assert run_results.compare_paired(longer, from_cache).images == TESTED
    assert run_files.find_run(str(checkout)).name == "checkout"
    result = CliRunner().invoke(app, ["report", "--against", "longer"])
    assert (result.exit_code, result.output) == (0, "dvc_plots/against_longer.html\n")
    page = (checkout / "dvc_plots/against_longer.html").read_text(encoding="utf-8")
    assert "<strong>longer is better</strong>" in page


def test_a_page_replaces_an_earlier_page_and_no_other_file(checkout):
    arguments = ["report", "--against", "HEAD", "--output", "page.html"]
    for _ in range(2):
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, result.output) == (0, "page.html\n")
    (checkout / "page.html").write_text("<p>other")
    refused = CliRunner().invoke(app, arguments)
    assert "--output must name a new file, or an earlier comparison page." in " ".join(refused.stderr.split())
    assert (checkout / "page.html").read_text() == "<p>other"


def test_an_unknown_run_is_refused_with_the_valid_kinds_of_names(checkout):
    with pytest.raises(UserError, match="must name an experiment, a git revision, or a folder") as raised:
        run_files.find_run("nope")
    assert "dvc exp list" in raised.value.remedy
    assert "nope" in str(raised.value.received)
    (checkout / "metrics/compare.json").write_text("{")
    with pytest.raises(UserError, match=r"A run must have a complete .*"):
        run_files.load_folder(Path(), "this run")


def test_report_prints_the_path_of_the_page_and_opens_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = CliRunner().invoke(app, ["report"])
    assert missing.exit_code == 1
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/report.html").touch()
    result = CliRunner().invoke(app, ["report"])
    assert (result.exit_code, result.output) == (0, "plots/report.html\n")
    assert CliRunner().invoke(app, ["report", "-o", "x.html"]).exit_code == 1
    opened_pages: list[str] = []
    monkeypatch.setattr("typer.launch", opened_pages.append)
    CliRunner().invoke(app, ["report", "--open"])
    assert opened_pages == [str(tmp_path / "plots/report.html")]
