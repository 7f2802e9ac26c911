"""`realwaste choose`: the selected photographs, their CSV and the contact sheet."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import choose_selection, choose_sheet, model_loading
from realwaste.models.model_file import ModelMetadata
from realwaste.models.novelty import UNLIKE, Novelty
from realwaste.models.session import Session
from realwaste.runtime.inference_engine import Network

CLASSES = ("Blue", "Green", "Red")
COLORS = {"red": (250, 10, 10), "green": (10, 250, 10), "purple": (130, 0, 120), "teal": (0, 130, 120)}


def _mean_colours(pictures):
    """The mean colour of each image, from 0 to 1."""
    return (pictures.mean(axis=(1, 2)) / 255).astype(np.float32)


def _build_session(name="cnn", shift=0, novelty=None, classes=CLASSES):
    """A model whose probabilities depend on the mean colour, shifted by `shift` classes."""

    def classify(features):
        exponentials = np.exp(4 * np.roll(features[:, ::-1], shift, axis=1))
        return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)

    metadata = ModelMetadata(name, classes, 8, "drawn", "none", "random")
    return Session(metadata, novelty, lambda: Network(_mean_colours, 2, (3,)), Network(classify, 2, (3,)))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, color in COLORS.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full((20, 30, 3), color[::-1], np.uint8))
    return folder


@pytest.fixture
def choose(photos, tmp_path, monkeypatch):
    """Runs `choose` in an empty folder beside `photos`, with the models `cnn` and `turned` (shifted by one class)."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    cnn = _build_session(novelty=Novelty(np.array([[1, 0, 0], [0, 1, 0]], np.float16), 0.2))
    models = {None: cnn, "cnn": cnn, "turned": _build_session("turned", 1)}
    models["other"] = _build_session("other", classes=("A", "B", "C"))
    monkeypatch.setattr(model_loading, "resolve_model", lambda name: name)
    monkeypatch.setattr(model_loading, "open_session", lambda name, max_images: models[name])
    return lambda *arguments: CliRunner().invoke(app, ["choose", str(photos), *map(str, arguments)])


def test_uncertainty_is_one_minus_the_margin():
    rows = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0, 1, 0]])
    np.testing.assert_allclose(choose_selection.margin_uncertainty(rows), [0.8, 1, 0])


def test_the_selected_photos_are_uncertain_and_diverse():
    """Three objects are photographed ten times each, the first is the most uncertain; a fourth is certain."""
    rng = np.random.default_rng(0)
    objects = np.repeat(np.arange(4), 10)
    features = choose_selection.l2_normalize((np.eye(8)[objects] + rng.normal(size=(40, 8)) / 50).astype(np.float32))
    uncertainty = np.array([0.95, 0.9, 0.85, 0.01])[objects] + rng.uniform(0, 0.01, 40)
    rows = choose_selection.select_batch(uncertainty, features, 3)
    assert sorted(objects[rows]) == [0, 1, 2]
    assert uncertainty[rows].tolist() == sorted(uncertainty[rows], reverse=True)
    assert set(objects[np.argsort(-uncertainty)[:3]]) == {0}
    np.testing.assert_array_equal(rows, choose_selection.select_batch(uncertainty, features, 3))
    # Without oversampling, the most uncertain photos are selected.
    assert set(objects[choose_selection.select_batch(uncertainty, features, 10, oversampling=1)]) == {0}


def test_small_pools_are_selected_completely_and_duplicates_fill_the_batch():
    uncertainty = np.array([0.1, 0.9, 0.5])
    assert choose_selection.select_batch(uncertainty, np.eye(3, dtype=np.float32), 5).tolist() == [1, 2, 0]
    rows = choose_selection.select_batch(np.linspace(0, 1, 20), np.ones((20, 4), np.float32), 6)
    assert len(set(rows)) == 6


@pytest.mark.parametrize("views", [1, 2])
def test_features_are_those_of_their_files_despite_unreadable_files(views, photos):
    (photos / "b.png").write_text("words")
    paths = [photos / f"{name}.png" for name in ("red", "b", "green", "b", "teal")]
    session = _build_session()
    if views == 2:
        extract, classify = session.extract, session.classify

        def extract_two_views(pixels):
            return np.stack([extract.run(pixels), extract.run(255 - pixels)], axis=1)

        two_views = replace(extract, run=extract_two_views, shape=(2, *extract.shape))
        first_view = replace(classify, run=lambda features: classify.run(features[:, 0]))
        session = replace(session, compile_extract=lambda: two_views, classify=first_view)
    predictions = list(choose_selection.predict_with_features(session, paths))
    assert [prediction.error for prediction, _ in predictions] == [None, "not an image", None, "not an image", None]
    assert [features is None for _, features in predictions] == [False, True, False, True, False]
    for position, name in {0: "red", 2: "green", 4: "teal"}.items():
        features = predictions[position][1]
        assert features is not None
        assert features.tolist() == pytest.approx([level / 255 for level in COLORS[name]], abs=1e-6)


def test_a_model_that_diverged_has_no_prediction(photos):
    session = _build_session()
    nan_session = replace(session, classify=replace(session.classify, run=lambda rows: np.full((len(rows), 3), np.nan)))
    predictions = list(choose_selection.predict_with_features(nan_session, [photos / "red.png"]))
    selection = choose_selection.select_photos([predictions], CLASSES, 3)
    assert selection.selected == []
    assert [error for _, error in selection.errors] == ["the model's output is NaN: its training diverged"]


def test_the_most_uncertain_photos_come_first(choose):
    output = json.loads(choose("--count", "2", "--json").stdout)
    assert output["candidates"] == 4
    assert [Path(record["path"]).stem for record in output["chosen"]] == ["purple", "teal"]
    first = output["chosen"][0]
    assert [prediction["class"] for prediction in first["predictions"]] == ["Red", "Blue"]
    exponentials = np.exp(4 * np.array([120, 0, 130]) / 255)
    assert first["uncertainty"] == pytest.approx(1 - (exponentials[2] - exponentials[0]) / exponentials.sum(), abs=1e-5)
    assert (first["models_disagreeing"], first["unlike"]) == (0, True)
    assert [model["model"]["name"] for model in output["models"]] == ["cnn"]
    assert output["errors"] == []


def test_probabilities_of_several_models_are_averaged(choose):
    output = json.loads(choose("--count", "4", "--json", "--model", "cnn", "-m", "turned", "-m", "cnn").stdout)
    assert [record["model"]["name"] for record in output["models"]] == ["cnn", "turned"]
    (red,) = (record for record in output["chosen"] if record["path"].endswith("/red.png"))
    # Each model is certain, but they predict different classes: Red, and the next class, Blue.
    assert red["uncertainty"] == pytest.approx(1, abs=1e-5)
    assert red["models_disagreeing"] == 1
    table = choose("--count", "4", "--model", "cnn", "--model", "turned").stdout
    assert "disagreeing, of 2 models" in table
    refused = choose("--model", "cnn", "--model", "other")
    assert refused.exit_code == 1
    assert "must have the same classes; cnn and other do not" in " ".join(refused.stderr.split())


def test_the_table_and_the_csv_list_the_selected_photos(choose, photos):
    result = choose("--count", "3", "--csv", "to/label.csv")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if ".png" in line]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert lines[0][1].endswith("purple.png")
    assert lines[0][3] == "Red"
    assert UNLIKE in result.stdout
    table = pd.read_csv("to/label.csv")
    assert table.columns.tolist() == [
        *("path", "label", "uncertainty", "best", "best_probability", "second", "second_probability"),
        *("models_disagreeing", "unlike"),
    ]
    assert table["path"].tolist()[:2] == [str(photos / "purple.png"), str(photos / "teal.png")]
    assert table["label"].isna().all()
    assert (table["best"][0], table["second"][0]) == ("Red", "Blue")


def test_unreadable_files_are_named(choose, photos):
    (photos / "words.png").write_text("words")
    result = choose("--json", "--count", "9")
    assert result.exit_code == 1
    output = json.loads(result.stdout)
    assert len(output["chosen"]) == 4
    assert output["errors"] == [{"path": str(photos / "words.png"), "error": "not an image"}]
    log_text = " ".join(result.stderr.split())
    assert "words.png: not an image" in log_text
    assert "all 4 readable photos are listed" in log_text


def test_the_contact_sheet_shows_the_photos_in_order(choose, photos):
    cv2.imwrite(str(photos / ("x" * 60 + "_1.png")), np.full((40, 20, 3), (10, 250, 250), np.uint8))
    assert choose("--sheet", "sheet.png").exit_code == 0
    with Image.open("sheet.png") as image:
        sheet = np.asarray(image)
    order = [Path(record["path"]).stem for record in json.loads(choose("--json").stdout)["chosen"]]
    columns = (sheet.shape[1] - 14) // 234
    for position, name in enumerate(order):
        top, left = 14 + position // columns * 291, 14 + position % columns * 234
        color = COLORS.get(name, (250, 250, 10))
        np.testing.assert_array_equal(sheet[top + 110, left + 110], color, err_msg=name)
        text_pixels = sheet[top + 223 : top + 277, left : left + 234]
        assert (text_pixels.min(axis=2) < 128).sum() > 100, "name and classes are drawn below the photo"
        assert (text_pixels[:, 222:] == 255).all(), "no text reaches the next photo"
    assert choose("--sheet", "sheet.jpg", "--count", "1").exit_code == 0
    with Image.open("sheet.jpg") as image:
        assert image.size == (248, 305)


@pytest.mark.parametrize(
    ("sheet", "count", "rule"),
    [
        ("sheet.gif", 3, "--sheet must name an image file"),
        ("../photos/sheet.png", 3, "--sheet must name a file outside of the folders with the photos"),
        ("sheet.png", 4, "--sheet shows at most 3 photos"),
    ],
)
def test_a_sheet_that_cannot_be_written_is_refused(sheet, count, rule, choose, monkeypatch):
    monkeypatch.setattr(choose_sheet, "MAX_PHOTOS", 3)
    refused = choose("--sheet", sheet, "--count", count)
    assert refused.exit_code == 1
    assert rule in " ".join(refused.stderr.split())
    assert list(Path().iterdir()) == []
