"""`realwaste train`: from a folder of drawn images to a model that the other commands can use."""

import json
import shutil
from collections import Counter

import cv2
import keras
import numpy as np
import pytest
import tiny_pipeline
from colours import read_rows, run, run_json, words
from conftest import picture

from realwaste.cli import train_run
from realwaste.sources import labelled_images
from realwaste.training import checkpoint

COLOURS = {"blue": (200, 40, 40), "green": (40, 200, 40), "red": (40, 40, 200)}  # blue, green, red, as in OpenCV


def draw_image(file, label, seed):
    """Write an image of 40 by 40 pixels in shades of the colour of its class."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), (0.2 * picture(seed) + 0.8 * np.array(COLOURS[label])).astype(np.uint8))


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    """A backbone with one convolution, for images of 32 pixels."""
    file = tmp_path_factory.mktemp("backbone") / "extractor.keras"
    tiny_pipeline.save_extractor(file)
    return file


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder photos/ with 20 images per class."""
    folder = tmp_path_factory.mktemp("drawn")
    for number, label in enumerate(COLOURS):
        for index in range(20):
            draw_image(folder / "photos" / label / f"{chr(97 + index)}.png", label, 100 * number + index)
    return folder / "photos"


@pytest.fixture
def project(photos, tmp_path, monkeypatch):
    """The working directory is empty and no checkout; the images are in ../photos."""
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def train(project, extractor):
    def start(*arguments, status=0):
        return run("train", *arguments, "--backbone", extractor, "--image-size", 32, status=status)

    return start


def test_train_writes_a_model_that_the_other_commands_can_use(project, train):
    shutil.copytree(project / "photos/red", project / "elsewhere/Red")
    draw_image(project / "elsewhere/Red/1.png", "red", 999)
    result = train("../photos", "--test", "../elsewhere")
    assert "left out 16 of 21 photographs that a model was trained or validated on" in words(result.stderr)
    lines = result.stdout.splitlines()
    score = "12 of 12 test photographs right; of 100 others like these, expect 76 to 100 right (95 % interval)"
    assert words(lines[0]) == score
    assert lines[1].startswith("5 of 5 photographs in ../elsewhere right; ")
    assert lines[2] == "models/photos.keras, models/photos_splits.csv, models/photos_metrics.json"
    assert lines[3] == "next: realwaste predict PHOTOS --model photos"
    names = {path.name for path in (project / "work/models").iterdir()}
    assert names == {"photos.keras", "photos_splits.csv", "photos_metrics.json"}
    rows = read_rows(project / "work/models/photos_splits.csv")
    assert Counter((row["label"], row["split"]) for row in rows) == {
        (label, part): count for label in COLOURS for part, count in (("train", 12), ("val", 4), ("test", 4))
    }
    metrics = json.loads((project / "work/models/photos_metrics.json").read_text())
    assert (metrics["test_right"], metrics["test_images"], metrics["external"]["images"]) == (12, 12, 5)
    for options in ([], ["--model", "photos"], ["--model", "models/photos.keras"]):
        assert run_json("predict", "../photos/red/a.png", *options)["answers"][0]["answer"] == "red"
    assert run_json("evaluate", "../elsewhere")["accuracy"] == 1
    (listed,) = run_json("models")["models"]
    assert listed["scores"]["test_accuracy"] == 1

    train_path = next(row["path"] for row in rows if row["split"] == "train")
    (project / "outside" / train_path).parent.mkdir(parents=True)
    shutil.copy(project / "photos" / train_path, project / "outside" / train_path)
    error_text = words(train("../photos", "--test", "../outside", status=1).stderr)
    assert "must have photographs of the classes that the model was not trained on" in error_text
    train("../photos", "--seed", 7)
    assert read_rows(project / "work/models/photos_splits.csv") != rows, "a new run replaces the files of the same name"


def test_near_duplicates_are_kept_in_one_part(project):
    names = [chr(97 + index) for index in range(0, 20, 2)]
    pairs = [(f"{label}/{name}.png", f"{label}/{name}_again.bmp") for label in COLOURS for name in names]
    for source, copy in pairs:  # the same image in another format
        cv2.imwrite(str(project / "photos" / copy), np.asarray(cv2.imread(str(project / "photos" / source))))
    with labelled_images.open_labelled_images("../photos", for_training=True) as (labelled, root):
        split = train_run.split_photos(labelled, root, seed=42)
    part_of_path = dict(zip(split.table["path"], split.table["split"], strict=True))
    assert [pair for pair in pairs if part_of_path[pair[0]] != part_of_path[pair[1]]] == []
    assert (split.strategy, split.exposure["near_duplicates"]) == ("grouped", 0)


def test_an_interrupted_run_resumes_and_ends_with_the_same_weights(project, train, monkeypatch):
    def load_weights():
        return keras.saving.load_model("models/photos.keras", compile=False).get_weights()

    train("../photos", "--fine-tune")
    expected_weights, write = load_weights(), checkpoint.Checkpoint.on_epoch_end
    shutil.rmtree("models")
    epochs = []

    def write_and_interrupt(self, epoch, logs=None):
        write(self, epoch, logs)
        epochs.append(self.path and epoch)  # only the second phase has a path
        if epochs[-1] == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "on_epoch_end", write_and_interrupt)
        train("../photos", "--fine-tune", status=130)
    result = train("../photos", "--fine-tune")
    assert "resumes from where the last run was stopped" in words(result.stderr)
    assert "epoch 6:" not in result.stderr
    assert "epoch 10:" in result.stderr
    for weight, expected in zip(load_weights(), expected_weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_invalid_photos_and_options_are_refused_in_two_lines(project, train):
    def read_error(*arguments):
        rule, _, remedy = train(*arguments, status=1).stderr.partition("\n")
        assert remedy.strip(), rule
        return words(rule + remedy)

    (project / "work/notes.keras").write_text("mine")
    (project / "work/own_metrics.json").write_text("{}")
    assert "must hold one folder of images per class" in read_error("../photos/red")
    assert "must be an existing folder, zip or CSV" in read_error("nowhere")
    assert "outside of those with the photos" in read_error("../photos", "--output", "../photos/red")
    for name in ("edge", ""):
        assert "none of cnn, irv2, densenet, edge" in read_error("../photos", "--name", name)
    for name in ("notes", "own"):
        assert "--name must name a new file" in read_error("../photos", "--name", name, "--output", ".")
    for file in sorted((project / "photos/red").iterdir())[:11]:
        file.write_bytes(b"no picture")
    text = read_error("../photos")
    assert "at least 10 readable photos" in text
    assert "{'red': 9}" in text
    assert not (project / "work/models/photos.keras").exists()
