"""`realwaste evaluate`: models on labelled photographs from another source. Images are drawn."""

import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.parts.child import ROOT
from realwaste.__main__ import app
from realwaste.core.errors import UserError
from realwaste.dataset import manifest
from realwaste.evaluation import (
    calibration,
    classification,
    external,
    external_sets,
    intervals,
    prediction_table,
    scores,
)
from realwaste.models import cnn, model_file, session, training_photographs
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.models.probabilities import apply_temperature
from realwaste.sources import labelled_images

CLASSES = ("Food Organics", "Glass", "Ünrat")


def test_folders_match_classes_regardless_of_case_and_word_separators():
    folders = ["FOOD_organics", "food-organics", "food  organics", "glass", "üNRAT", "U\u0308nrat", "foodorganics"]
    assert external.match_folders(folders, CLASSES) == {
        "FOOD_organics": "Food Organics",
        "food-organics": "Food Organics",
        "food  organics": "Food Organics",
        "glass": "Glass",
        "üNRAT": "Ünrat",
        "U\u0308nrat": "Ünrat",
    }
    assert external.match_folders(["paper"], CLASSES) == {}


def test_a_folder_that_matches_two_classes_is_refused():
    classes = ("food organics", "Food_Organics", "glass")
    assert external.match_folders(["Glass"], classes) == {"Glass": "glass"}
    with pytest.raises(UserError, match=r"'FOOD-organics' must have the name of one class.*\n"):
        external.match_folders(["FOOD-organics"], classes)


def _probabilities(*predicted, confidence=0.7):
    """Probabilities whose most probable classes are these."""
    return np.eye(3)[list(predicted)] * (confidence - (1 - confidence) / 2) + (1 - confidence) / 2


def test_metrics_equal_values_computed_by_hand():
    labels = ["Glass", "Glass", "Glass", "shoes", "Food Organics", "shoes"]
    metrics = external.compute_metrics(labels, _probabilities(1, 1, 2, 0, 0, 2), CLASSES, np.arange(6))
    assert (metrics["images"], metrics["accuracy"]) == (4, 0.75)
    low, high = scores.accuracy_interval(np.array([1, 1, 1, 0]), _probabilities(1, 1, 2, 0))
    assert metrics["accuracy_intervals"]["images"] == {"low": low, "high": high}
    one_object = external.compute_metrics(labels, _probabilities(1, 1, 2, 0, 0, 2), CLASSES, np.zeros(6, int))
    assert (one_object["accuracy_low"], one_object["accuracy_high"], one_object["groups"]) == (low, high, 1)
    assert metrics["mean_confidence"] == pytest.approx(0.7)
    assert metrics["mean_confidence_low"] == pytest.approx(0.7), "all predictions have the same confidence"
    assert metrics["ece"] == pytest.approx(0.05)
    assert metrics["confusion"] == {
        "Food Organics": {"Food Organics": 1, "Glass": 0, "Ünrat": 0},
        "Glass": {"Food Organics": 0, "Glass": 2, "Ünrat": 1},
    }
    assert set(metrics["per_class"]) == {"Food Organics", "Glass"}
    glass = metrics["per_class"]["Glass"]
    assert (glass["precision"], glass["support"]) == (1.0, 3)
    assert glass["recall"] == pytest.approx(2 / 3)
    assert glass["recall_low"] < 2 / 3 < glass["recall_high"]
    assert metrics["unknown"]["images"] == 2
    shoes = metrics["unknown"]["folders"]["shoes"]
    assert (shoes["images"], shoes["said"]) == (2, {"Food Organics": 1, "Glass": 0, "Ünrat": 1})
    assert shoes["mean_confidence"] == pytest.approx(0.7)


def test_metrics_on_all_classes_equal_the_test_metrics_of_the_pipeline():
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    names, groups = [CLASSES[label] for label in labels], np.arange(200) // 2
    metrics = external.compute_metrics(names, probabilities, CLASSES, groups)
    in_domain = classification.compute_test_metrics(labels, probabilities, CLASSES, groups)
    assert metrics["accuracy"] == in_domain["test_accuracy"]
    assert metrics["accuracy_low"] == in_domain["test_accuracy_low"]
    assert metrics["ece"] == calibration.expected_calibration_error(labels, probabilities)
    for name in CLASSES:
        assert in_domain["per_class"][name].items() <= metrics["per_class"][name].items()
    assert metrics["unknown"] == {"images": 0, "folders": {}}
    confidence = probabilities.max(axis=1)
    half_width = 1.96 * confidence.std(ddof=1) / math.sqrt(200)
    assert metrics["mean_confidence_high"] - metrics["mean_confidence"] == pytest.approx(half_width, rel=1e-4)


def test_metrics_of_a_single_image_are_finite():
    metrics = external.compute_metrics(["Glass"], _probabilities(1), CLASSES, np.zeros(1, int))
    assert (metrics["mean_confidence_low"], metrics["mean_confidence_high"]) == (0, 1)
    assert json.dumps(metrics, allow_nan=False)


def test_the_interval_of_an_accuracy_change_equals_newcombes_example():
    """Newcombe 1998, table II a: 56 of 70 and 48 of 80 differ by 0.2, with an interval from 0.0524 to 0.3339."""
    external_metrics, in_domain_metrics = (
        {"images": count, "accuracy": correct / count, "accuracy_low": low, "accuracy_high": high}
        for correct, count in ((56, 70), (48, 80))
        for low, high in [scores.wilson_interval(correct / count, count)]
    )
    change = intervals.accuracy_change(in_domain_metrics, external_metrics)
    assert [round(value, 4) for value in change.values()] == [0.2, 0.0524, 0.3339]
    assert intervals.accuracy_change({"images": 0}, external_metrics) == {}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A folder with a tiny CNN of random weights."""
    root = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(1)
    model = cnn.build(32, len(CLASSES), batch_norm_momentum=0.9)
    metadata = ModelMetadata("cnn", CLASSES, 32, "photos", cnn.BACKBONE, cnn.WEIGHTS, temperature=2.5, batch_size=4)
    model_file.save(root / "models/cnn.keras", Classifier(model, metadata))
    return root


@pytest.fixture
def project(model_folder, tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(model_folder / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _evaluate(*arguments, model="cnn"):
    return CliRunner().invoke(app, ["evaluate", "-m", model, *map(str, arguments)])


def _evaluate_json(*arguments, model="cnn", status=0):
    """The metrics, and the messages as one line."""
    result = _evaluate(*arguments, "--json", model=model)
    assert result.exit_code == status, result.stderr
    return json.loads(result.stdout, parse_constant=pytest.fail), " ".join(result.stderr.split())


def test_evaluating_a_folder_gives_the_metrics_of_its_predictions(project, images):
    images(**{"food_ORGANICS": 5, "Food-Organics": 3, "glass": 6, "shoes": 4})
    metrics, _ = _evaluate_json("set")
    files = sorted((project / "set").glob("*/*.jpg"))
    probabilities = apply_temperature(session.open_session(project / "models/cnn.keras").predict_files(files)[0], 2.5)
    labels = [external.match_folders([file.parent.name], CLASSES).get(file.parent.name, "shoes") for file in files]
    expected = external.compute_metrics(labels, probabilities, CLASSES, np.arange(18))
    assert metrics["confusion"] == expected["confusion"]
    assert metrics["accuracy"] == expected["accuracy"]
    assert metrics["mean_confidence"] == pytest.approx(expected["mean_confidence"], abs=1e-6)
    assert metrics["unknown"]["folders"]["shoes"]["said"] == expected["unknown"]["folders"]["shoes"]["said"]
    assert (metrics["images"], metrics["per_class"]["Food Organics"]["support"]) == (14, 8)
    assert metrics["model"]["name"] == "cnn"
    assert metrics["caution"] is None
    assert (metrics["set"]["images"], metrics["set"]["rejected"]) == (18, [])
    assert metrics["set"]["matched"]["food_ORGANICS"] == "Food Organics"
    assert not list((project / "set").rglob(".*")), "nothing is written beside the photographs"


def test_the_tables_show_accuracy_decisions_confusions_and_unknown_folders(project, images):
    images(glass=6, ünrat=2, shoes=4)
    (metrics, _), result = _evaluate_json("set"), _evaluate("set")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    interval = [f"{metrics['accuracy_low']:.3f}", "to", f"{metrics['accuracy_high']:.3f}"]
    confidence = f"{metrics['mean_confidence']:.3f}"
    assert ["set", "8", f"{metrics['accuracy']:.3f}", *interval, confidence] in lines
    decided = metrics["by_min_confidence"][0]
    assert ["0", "8", f"{decided['right']}", f"{metrics['accuracy']:.1%}"] in lines
    assert "too few different objects to tell (groups of similar photographs: 8)" in " ".join(result.stderr.split())
    assert ["Ünrat", *map(str, metrics["confusion"]["Ünrat"].values())] in lines
    (shoes,) = [line for line in lines if line[:1] == ["shoes"]]
    assert shoes[1:3] == ["4", f"{metrics['unknown']['folders']['shoes']['mean_confidence']:.3f}"]
    images(inside="other", glass=2)
    assert "not a class of the model" not in _evaluate("other").stdout


def test_a_zip_with_other_file_names_gives_the_metrics_of_the_folder(project, images):
    images(inside="set/deep", glass=3, ünrat=2)
    with zipfile.ZipFile(project / "photos.zip", "w") as bundle:
        for number, file in enumerate(sorted((project / "set").rglob("*.jpg"))):
            bundle.write(file, f"a/{file.parent.name}/{number}.jpg")
    (folder, _), (zipped, _) = _evaluate_json("set"), _evaluate_json("photos.zip")
    assert (folder["set"]["name"], zipped["set"]["name"], zipped["set"]["source"]) == ("set", "photos", "photos.zip")
    assert folder["set"]["sha256"] == zipped["set"]["sha256"]
    assert folder["confusion"] == zipped["confusion"]
    (project / "set/deep/glass/glass_1.jpg").unlink()
    assert _evaluate_json("set")[0]["set"]["sha256"] != folder["set"]["sha256"]


def test_unreadable_files_are_named_and_the_others_are_evaluated(project, images):
    images(glass=3, shoes=2)
    (project / "set/glass/glass_1.jpg").write_bytes(b"words")
    (project / "set/shoes/shoes_1.jpg").write_bytes(b"")
    metrics, message = _evaluate_json("set", status=1)
    assert "2 of 5 files: glass/glass_1.jpg (not an image), shoes/shoes_1.jpg (empty file)" in message
    assert (metrics["images"], metrics["unknown"]["images"]) == (2, 1)
    assert metrics["set"]["rejected"] == [
        {"path": "glass/glass_1.jpg", "reason": "not an image"},
        {"path": "shoes/shoes_1.jpg", "reason": "empty file"},
    ]


def test_the_caution_of_a_model_trained_on_synthetic_images_is_shown(project, images):
    images(glass=2)
    model = model_file.load(project / "models/cnn.keras").model
    metadata = ModelMetadata("cnn", CLASSES, 32, "synthetic", cnn.BACKBONE, cnn.WEIGHTS, origin="synthetic")
    model_file.save(project / "drawn.keras", Classifier(model, metadata))
    metrics, message = _evaluate_json("set", model="drawn.keras")
    assert metrics["caution"] == metadata.caution()
    assert "not photographs" in message


def test_undefined_predictions_are_counted(project, images):
    images(glass=2, shoes=1)
    classifier = model_file.load(project / "models/cnn.keras")
    classifier.model.set_weights([weight * np.nan for weight in classifier.model.get_weights()])
    model_file.save(project / "nan.keras", classifier)
    metrics, _ = _evaluate_json("set", model="nan.keras")
    assert metrics["undefined_answers"] == 3
    assert metrics["mean_confidence"] == pytest.approx(1 / 3)


def test_training_photographs_of_the_model_are_left_out(project, images):
    root = images(glass=6, ünrat=4)
    splits = manifest.scan(root).manifest.assign(split=["train"] * 3 + ["val"] + ["test"] * 6)
    photographs = training_photographs.from_splits(splits)
    classifier = model_file.load(project / "models/cnn.keras")
    model_file.save(project / "used.keras", replace(classifier, photographs=photographs))
    stored = model_file.load(project / "used.keras").photographs
    assert stored is not None
    np.testing.assert_array_equal(stored.digests, photographs.digests)
    original = cv2.imread(str(root / "glass/glass_1.jpg"))
    assert original is not None
    cv2.imwrite(str(root / "glass/copy.jpg"), original, [cv2.IMWRITE_JPEG_QUALITY, 95])
    metrics, message = _evaluate_json("set", model="used.keras")
    assert (metrics["images"], metrics["set"]["used_for_training"]) == (7, 4)
    assert metrics["set"]["near_duplicates_of_training"] == 1
    assert "4 of 11 photographs that a model was trained or validated on" in message
    assert "1 of 7 are near-duplicates of training photographs" in message
    result = CliRunner().invoke(app, ["compare", "cnn", "used.keras", "set", "--json"])
    assert (json.loads(result.stdout)["images"], result.stderr.count("nothing is left out")) == (7, 1)
    unfiltered, _ = _evaluate_json("set")
    assert (unfiltered["images"], unfiltered["set"]["used_for_training"]) == (11, None)
    for name in (*splits.loc[splits["split"] == "test", "path"], "glass/copy.jpg"):
        (root / name).unlink()
    shutil.rmtree(root / "ünrat")
    result = _evaluate("set", model="used.keras")
    assert result.exit_code == 1
    message = " ".join(result.stderr.split())
    assert "must have photographs of the classes that the model was not trained on" in message
    assert "4 of 4 photographs that a model was trained or validated on" in message


EVALUATE_INVALID_SOURCES = """
import sys
from realwaste.__main__ import main
for source in ("nowhere", "", "empty", "flat", "strangers", "hollow", "broken", "words.zip", "ftp://a/b.zip"):
    sys.argv = ["realwaste", "evaluate", source, "-m", "cnn"]
    try:
        main()
    except SystemExit as error:
        print(error.code, *sorted({"tensorflow", "keras"} & sys.modules.keys()), flush=True)
"""


def test_invalid_sources_are_refused_before_tensorflow_is_imported(project, images):
    (project / "empty").mkdir()
    images(inside="strangers", shoes=1, hats=1)
    images(inside="hollow", glass=1)
    (project / "hollow/paper").mkdir()
    images(inside="broken", glass=1, shoes=1)
    (project / "broken/glass/glass_1.jpg").write_bytes(b"x")
    (project / "flat").mkdir()
    (project / "flat/a.jpg").write_bytes(b"x")
    (project / "words.zip").write_bytes(b"words")
    environment, command = (
        os.environ | {"PYTHONPATH": str(ROOT / "src")},
        [sys.executable, "-c", EVALUATE_INVALID_SOURCES],
    )
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.split("\n") == ["1"] * 9 + [""]
    assert "Traceback" not in result.stderr
    messages = " ".join(word for line in result.stderr.splitlines() for word in line.split())
    assert messages.count("ERROR") == 9
    assert messages.count("must be an existing folder, zip or CSV, or the http(s) URL of a zip. Received") == 2
    for message in (
        "empty must hold one folder of images per class. Received: [].",
        "flat must hold one folder of images per class. Received: ['a.jpg'].",
        "strangers must have a folder of a class that the model knows: Food Organics, Glass, Ünrat. Received: ['hats",
        "'paper' holds none",
        "broken must have a readable image of a class that the model knows. Received: '1 of 2 files: glass/glass_1.jpg",
        "words.zip",
        "must start with http:// or https://",
    ):
        assert message in messages


def test_sets_with_the_same_name_are_numbered_and_removed_afterwards(images, tmp_path):
    images(inside="a/set", glass=1)
    images(inside="b/set", glass=2)
    with external_sets.open_external_sets([str(tmp_path / "a/set"), str(tmp_path / "b/set")], CLASSES, []) as sets:
        assert {name: len(external_set.images) for name, external_set in sets.items()} == {"set": 1, "set (2)": 2}
        roots = [external_set.root for external_set in sets.values()]
        assert all(file.is_file() for external_set in sets.values() for file in external_set.files)
    assert not any(root.exists() for root in roots)
    assert len(list(tmp_path.rglob("*.jpg"))) == 3


def test_a_tilde_in_a_source_is_expanded(images, tmp_path, monkeypatch):
    images(glass=1)
    monkeypatch.setenv("HOME", str(tmp_path))
    with labelled_images.open_labelled_images("~/set") as (labelled, _):
        assert list(labelled.folders.files) == ["glass"]


def test_the_in_domain_set_is_the_test_images_of_the_same_classes(images):
    root = images(glass=2, shoes=1)
    names = ["Food Organics", "Glass", "Glass", "Glass", "Ünrat"]
    splits = pd.DataFrame({"path": list("abcde"), "label": names, "split": "test", "group": range(5)})
    probabilities = _probabilities(0, 1, 1, 2, 2)
    test_predictions = prediction_table.build_rows(splits, "cnn", probabilities, CLASSES)
    metadata = ModelMetadata("cnn", CLASSES, 32, "photos", cnn.BACKBONE, cnn.WEIGHTS, temperature=1.0)
    with external_sets.open_external_set(str(root), CLASSES) as external_set:
        metrics, without_shared_classes = (
            external_sets.evaluate_in_domain_and_external(external_set, metadata, _probabilities(1, 0, 2), rows)
            for rows in (test_predictions, test_predictions[test_predictions["label"] == "Ünrat"])
        )
    assert (metrics["home"]["images"], metrics["home"]["accuracy"]) == (3, pytest.approx(2 / 3))
    assert (metrics["outside"]["images"], metrics["outside"]["accuracy"]) == (2, 0.5)
    assert metrics["change"]["difference"] == pytest.approx(0.5 - 2 / 3)
    assert (without_shared_classes["home"], without_shared_classes["change"]) == ({"images": 0}, {})
