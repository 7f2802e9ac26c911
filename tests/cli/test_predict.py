"""`realwaste predict`: the predictions of a neural network, as a table and as JSON."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from colours import run, run_json, run_python
from conftest import picture

from realwaste.cli import image_paths, model_loading
from realwaste.core import library_settings
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.images.reader import decode_image
from realwaste.models import cnn, image_predictions, model_file, session
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.models.probabilities import apply_temperature

CLASSES = ("Glass", "Metal & Tin", "Ünrat")
NAMES = [
    *("with space.jpg", "new\nline.jpg", "[red]rich[red].jpg"),
    *("日本語.jpg", "עברית.jpg", "हिन्दी.jpg", "🗑️.jpg", "-rf.jpg"),
]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A folder as after `dvc repro`, with a tiny CNN of random weights."""
    root = tmp_path_factory.mktemp("trained")
    metadata = ModelMetadata("cnn", CLASSES, 32, "photos", cnn.BACKBONE, cnn.WEIGHTS, temperature=2.5)
    keras.utils.set_random_seed(1)
    model = cnn.build(32, len(CLASSES), batch_norm_momentum=0.9)
    model_file.save(root / "models/cnn.keras", Classifier(model, metadata))
    (root / "metrics").mkdir()
    scores = {"dataset": "photos", "cnn": {"val_accuracy": 0.4}, "ensemble": {"val_accuracy": 0.9}, "pairs": {}}
    (root / "metrics/compare.json").write_text(json.dumps(scores))
    return root


@pytest.fixture
def project(model_folder, tmp_path, monkeypatch):
    """The current folder, a new one for each test, with links to that model and its scores."""
    for name in ("models", "metrics"):
        (tmp_path / name).symlink_to(model_folder / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write_photos(folder, names):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(cv2.imencode(".jpg", picture(seed, 50, 70))[1].tobytes())
    return [folder / name for name in names]


def test_the_probabilities_are_calibrated_and_sorted(project):
    paths = _write_photos(project / "photos", [f"{number:02}.jpg" for number in range(37)])
    raw, _ = session.open_session(project / "models/cnn.keras", batch_size=4).predict_files(paths)
    expected = apply_temperature(raw, 2.5)
    output = run_json("predict", "photos")
    assert output["model"] == {
        "name": "cnn",
        "classes": list(CLASSES),
        "image_size": 32,
        "dataset": "photos",
        "backbone": "CNN",
        "weights": "trained from random",
        "temperature": 2.5,
        "precision": "float32",
        "batch_size": 16,
        "origin": "given",
    }
    assert output["caution"] is None
    assert [record["path"] for record in output["answers"]] == [f"photos/{number:02}.jpg" for number in range(37)]
    for record, row in zip(output["answers"], expected, strict=True):
        assert record["error"] is None
        probabilities = {prediction["class"]: prediction["probability"] for prediction in record["predictions"]}
        np.testing.assert_allclose([probabilities[name] for name in CLASSES], row, atol=1e-6)
        assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_prediction_does_not_depend_on_its_batch_or_on_unreadable_files(batch_size, project):
    paths = _write_photos(project, [f"{number}.jpg" for number in range(7)])
    single_session = session.open_session(project / "models/cnn.keras", batch_size=1)
    single_predictions = {path: next(image_predictions.predict_images(single_session, [path])) for path in paths}
    for number in (0, 3, 4, 5):
        paths[number].write_bytes(b"no image")
    batch_session = session.open_session(project / "models/cnn.keras", batch_size=batch_size)
    predictions = list(image_predictions.predict_images(batch_session, paths))
    assert [prediction.path for prediction in predictions] == paths
    errors = [None if number in {1, 2, 6} else "not an image" for number in range(7)]
    assert [prediction.error for prediction in predictions] == errors
    for number in (1, 2, 6):
        expected = single_predictions[paths[number]].predictions
        for row, expected_row in zip(predictions[number].predictions, expected, strict=True):
            assert row.name == expected_row.name
            assert row.probability == pytest.approx(expected_row.probability, abs=1e-6)


def test_unreadable_files_have_an_error_and_the_others_a_prediction(project):
    _, truncated, missing = _write_photos(project, ["good.jpg", "cut.jpg", "gone.jpg"])
    truncated.write_bytes(truncated.read_bytes()[:-100])
    (project / "empty.png").touch()
    (project / "words.png").write_text("words")
    os.mkfifo(project / "pipe.jpg")
    missing.unlink()
    missing.symlink_to(project / "nowhere")
    paths = ["good.jpg", "cut.jpg", "empty.png", "words.png", "pipe.jpg", "/dev/zero"]
    result = run("predict", *paths, "--json", status=1)
    assert "5 of 6 photos failed" in result.stderr
    by_path = {record["path"]: record for record in json.loads(result.stdout)["answers"]}
    assert {path: record["error"] for path, record in by_path.items()} == {
        "good.jpg": None,
        "cut.jpg": "truncated JPEG",
        "empty.png": "empty file",
        "words.png": "not an image",
        "pipe.jpg": "not a regular file",
        "/dev/zero": "not a regular file",
    }
    assert len(by_path["good.jpg"]["predictions"]) == 3
    assert by_path["cut.jpg"]["predictions"] == []
    cnn_session = session.open_session(project / "models/cnn.keras")
    (prediction,) = image_predictions.predict_images(cnn_session, [missing])
    assert prediction.error == "cannot be opened: No such file or directory"
    assert "truncated JPEG" in run("predict", "good.jpg", "cut.jpg", status=1).stdout


def test_every_file_name_is_in_the_output(project):
    _write_photos(project / "photos", NAMES)
    (project / "photos/-rf.jpg").rename(project / "-rf.jpg")
    records = run_json("predict", "photos", "--", "-rf.jpg")["answers"]
    assert {Path(record["path"]).name for record in records} == set(NAMES)
    table = run("predict", "photos").stdout
    for name in NAMES[:-1]:
        assert printable(name) in table
    assert "new\\nline" in table


def test_top_limits_the_listed_classes_and_the_table_shows_the_best(project):
    _write_photos(project, ["a.jpg"])
    for top, count in {1: 1, 2: 2, 99: 3}.items():
        assert len(run_json("predict", "a.jpg", "--top", top)["answers"][0]["predictions"]) == count
    best = run_json("predict", "a.jpg")["answers"][0]["predictions"][0]
    row = next(line for line in run("predict", "a.jpg", "--top", 1).stdout.splitlines() if "a.jpg" in line)
    assert row.split() == ["a.jpg", *best["class"].split(), f"{best['probability']:.1%}"]
    run("predict", "a.jpg", "--top", 0, status=2)


def test_overlays_keep_the_shape_of_the_photo_and_have_different_names(project):
    _write_photos(project / "one", ["a.jpg"])
    _write_photos(project / "two", ["a.jpg", "long.jpg"])
    cv2.imwrite(str(project / "two/long.jpg"), picture(9, 1500, 3000))
    (project / "bad.jpg").write_bytes(b"x")
    *records, bad = run_json("predict", "one", "two", "bad.jpg", "--overlay", "out/deep", status=1)["answers"]
    first, second, third = (record["predictions"][0]["class"] for record in records)
    overlays = [f"out/deep/a_{first}.png", f"out/deep/a_{second}-2.png", f"out/deep/long_{third}.png"]
    assert [record["overlay"] for record in records] == overlays
    assert bad["overlay"] is None
    assert {str(path.relative_to(project)) for path in project.glob("out/deep/*")} == set(overlays)
    shapes = [decode_image((project / path).read_bytes()).shape for path in overlays]
    assert shapes == [(50, 70, 3), (50, 70, 3), (512, 1024, 3)]
    assert run_json("predict", "one")["answers"][0]["overlay"] is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["predict", "a.jpg", "--json"], ["--help"]])
def test_a_full_disk_is_a_two_line_error(arguments, project):
    _write_photos(project, ["a.jpg"])
    with Path("/dev/full").open("w") as stdout:
        result = run_python("-m", "realwaste", *arguments, cwd=project, stdout=stdout)
    assert result.returncode == 1
    assert [line[9:].strip() for line in result.stderr.splitlines() if "INFO" not in line] == [
        "ERROR    There must be room to write the output. Received: 'No space left on device'.",
        "Free disk space, or write elsewhere.",
    ]


def test_images_are_found_in_files_folders_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write_photos(tmp_path / "b/deep", ["2.JPG", "1.png", ".hidden.jpg"])
    _write_photos(tmp_path / "b/__MACOSX", ["1.jpg"])
    _write_photos(tmp_path / "b/.cache", ["1.jpg"])
    _write_photos(tmp_path / ".own", ["x.jpg"])
    _write_photos(tmp_path, ["a.jpg", "c[1].jpg"])
    (tmp_path / "b/Thumbs.db").touch()
    (tmp_path / "b/notes.txt").touch()
    (tmp_path / "b/folder.jpg").mkdir()
    (tmp_path / "b/deep/up").symlink_to(tmp_path / "b")

    def find_images(*arguments):
        return [str(path) for path in image_paths.find_images(arguments)]

    assert find_images("b") == ["b/deep/1.png", "b/deep/2.JPG"]
    assert find_images("b/notes.txt", "a.jpg", "b", "a.jpg") == ["b/notes.txt", "a.jpg", "b/deep/1.png", "b/deep/2.JPG"]
    assert find_images("*.jpg") == ["a.jpg", "c[1].jpg"]
    assert find_images("c[1].jpg") == ["c[1].jpg"]
    assert find_images("b/*") == ["b/deep/1.png", "b/deep/2.JPG"]
    assert find_images(str(tmp_path / "b/deep/*.JPG")) == [str(tmp_path / "b/deep/2.JPG")]
    assert find_images("**/*.png")[0] == "b/deep/1.png"
    assert find_images(".own") == [".own/x.jpg"]
    for without_images in (["b/folder.jpg"], ["*.gif"], ["b/__MACOSX/*.txt"]):
        with pytest.raises(UserError, match="must be an image to predict"):
            image_paths.find_images(without_images)
    for missing in ("z.jpg", "", "new\nline.jpg"):
        with pytest.raises(UserError, match="There must be an image or a folder at"):
            image_paths.find_images([missing])


def test_find_model_by_name_path_or_validation_accuracy(project, monkeypatch):
    files = {None: "models/cnn.keras", "cnn": "models/cnn.keras", "a/b.keras": "a/b.keras", "b.keras": "b.keras"}
    assert {name: str(model_loading.choose_model(name)[0]) for name in files} == files
    with pytest.raises(UserError, match=r"Received: 'cnm'.\nThere are: cnn. Name one of them."):
        model_loading.choose_model("cnm")
    (project / "metrics").unlink()
    assert model_loading.choose_model(None) == (Path("models/cnn.keras"), "the only model")
    shutil.copytree(project / "models", project / "two")
    shutil.copy(project / "two/cnn.keras", project / "two/mine.keras")
    monkeypatch.setenv("REALWASTE_MODEL", "two")
    with pytest.raises(UserError, match=r"there must be metrics/compare.json: .* is used.\nThere are: cnn, mine."):
        model_loading.choose_model(None)
    monkeypatch.delenv("REALWASTE_MODEL")
    (project / "metrics").mkdir()
    for damaged in ("{", "{}", "[]", '{"cnn": {"val_accuracy": null}}', '{"cnn": 1}'):
        (project / "metrics/compare.json").write_text(damaged)
        with pytest.raises(UserError, match="must hold a validation accuracy for each model"):
            model_loading.choose_model(None)
    (project / "models").unlink()
    with pytest.raises(UserError, match=r"There is no model in .*: `realwaste train PHOTOS` trains one"):
        model_loading.choose_model("cnn")


INVALID_CALLS = """
import sys
from realwaste.__main__ import main
for arguments in (
    ["a.jpg", "-m", "cnm"],
    ["a.jpg", "-m", "nowhere.keras"],
    ["a.jpg", "-m", "a.jpg"],
    ["a.jpg", "-m", "foreign.keras"],
    ["a.jpg", "-m", "."],
    ["b.jpg"],
    ["empty"],
):
    sys.argv = ["realwaste", "predict", *arguments]
    try:
        main()
    except SystemExit as error:
        print(error.code, *sorted({"tensorflow", "keras"} & sys.modules.keys()), flush=True)
"""


def test_user_errors_have_two_lines_before_tensorflow_is_imported(project):
    _write_photos(project, ["a.jpg"])
    (project / "foreign.keras").write_bytes(b"PK not a model")
    (project / "empty").mkdir()
    result = run_python("-c", INVALID_CALLS, cwd=project)
    assert result.stdout.split("\n") == ["1"] * 7 + [""]
    assert "Traceback" not in result.stderr
    assert result.stderr.count("ERROR") == 7


def test_only_tensorflow_log_lines_are_dropped_during_its_import(capfd, monkeypatch):
    def write_log_lines():
        os.write(2, b"I0000 00:00:1795450295.147945   12070 port.cc:153] oneDNN custom operations are on.\n")
        sys.stderr.write("a warning of somebody else\n")
        raise ImportError

    for level, line_count in {"3": 1, "0": 2}.items():
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
        with pytest.raises(ImportError), library_settings.importing_tensorflow():
            write_log_lines()
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == line_count
        assert lines[-1] == "a warning of somebody else"


FIRST_CALLS = """
import sys
from realwaste.__main__ import main
for arguments in (
    ["predict", "set", "names", "--json"],
    ["predict", "names", "--overlay", "looked", "--sort-into", "sorted"],
    ["evaluate", "set"],
):
    sys.argv = ["realwaste", *arguments, "-m", "cnn"]
    try:
        main()
    except SystemExit as error:
        assert error.code == 0, (arguments, error.code)
"""


def test_the_first_calls_write_no_log_lines_of_tensorflow(project):
    """With an empty cache, so that networks are converted; in another process, because C++ code writes log lines."""
    paths = ["set/glass/0.png", "set/paper/1.png", "names/日本語.png"]
    _write_photos(project, paths)
    (project / "first.py").write_text(FIRST_CALLS, encoding="utf-8")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "REALWASTE_CACHE": str(project / "empty")}
    result = run_python("first.py", cwd=project, **environment)
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if not re.match(r"\d\d:\d\d:\d\d INFO ", line)] == []
    assert not re.search("tensorflow|absl|cuda|onednn", result.stderr, re.IGNORECASE)
    output, end = json.JSONDecoder().raw_decode(result.stdout)
    assert [answer["path"] for answer in output["answers"]] == paths
    table = next(line for line in result.stdout[end:].splitlines() if ".png" in line)
    assert table.isascii(), "the locale C has only ASCII characters"
