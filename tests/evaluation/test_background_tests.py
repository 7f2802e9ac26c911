"""Views of pictures, heads that see them, and models that are asked about changed ones; all pictures are drawn."""

import cv2
import keras
import numpy as np
import pytest
from conftest import picture
from keras import layers

from realwaste.dataset import labels as numbers
from realwaste.evaluation import background_tests, background_views
from realwaste.models import session
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.report import background
from realwaste.runtime import inference_engine

SIZE = 32


@pytest.fixture
def pictures():
    return np.stack([picture(seed, SIZE, SIZE) for seed in range(4)])


def test_frame_and_middle_make_the_picture(pictures):
    frame, middle = background_views.frame(pictures), background_views.middle(pictures)
    margin = round(background_views.MARGIN * SIZE)
    inner = (slice(None), slice(margin, SIZE - margin), slice(margin, SIZE - margin))
    assert (middle[inner] == pictures[inner]).all()
    assert len(np.unique(frame[inner])) == 1
    assert (np.where(frame == pictures, frame, middle) == pictures).all()
    swapped = background_views.swap_frame(pictures, pictures[::-1])
    assert (swapped[inner] == pictures[inner]).all()
    assert (swapped[:, :margin] == pictures[::-1][:, :margin]).all()


def test_grey_and_tiny_lose_what_they_name(pictures):
    grey = background_views.grey(pictures)
    assert (grey[..., 0] == grey[..., 2]).all()
    large = np.repeat(np.repeat(pictures, 4, axis=1), 4, axis=2)
    noisy = large ^ np.random.default_rng(0).integers(0, 2, large.shape, np.uint8)
    assert np.abs(background_views.tiny(noisy).astype(int) - background_views.tiny(large)).max() <= 2
    assert background_views.tiny(large).shape == large.shape


@pytest.fixture
def framed(tmp_path):
    """Photographs drawn so that a class shows in the outer frame alone: red, green or blue. The middle is noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    noise = rng.integers(0, 256, (60, SIZE, SIZE, 3), np.uint8)
    coloured = np.zeros_like(noise)
    coloured[np.arange(60), :, :, labels] = 220
    pixels = background_views.swap_frame(noise, coloured)
    files = [tmp_path / f"{number}.png" for number in range(60)]
    for file, pixels_of_one in zip(files, pixels, strict=True):
        cv2.imwrite(str(file), pixels_of_one[..., ::-1])
    return files, labels


@pytest.fixture
def extractor():
    """Means of 4 by 4 places: colours, and where they are."""
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, layers.Flatten()(layers.AveragePooling2D(SIZE // 8)(image / 255.0)))


def test_a_probe_finds_a_class_that_shows_in_the_frame_alone(framed, extractor):
    files, labels = framed
    network = inference_engine.compile_network(extractor, 16, policy="float32", engine="openvino")
    features = background_tests.embed_views(network, files, SIZE)
    metrics = background_tests.probe_accuracies(features, labels, np.arange(60), 5)
    assert metrics["frame"]["accuracy"] == metrics["whole"]["accuracy"] == 1
    assert metrics["middle"]["accuracy"] < 0.6
    assert metrics["grey"]["accuracy"] > metrics["middle"]["accuracy"], "red, green and blue differ in brightness"
    assert metrics["middle"]["accuracy_low"] < metrics["middle"]["accuracy"] < metrics["middle"]["accuracy_high"]


def test_a_model_that_uses_the_frame_predicts_the_class_of_the_frame(framed):
    files, labels = framed
    image = keras.Input((SIZE, SIZE, 3))
    corner = image[:, 0, 0, :] / 20.0
    model = keras.Model(image, layers.Softmax()(corner))
    metadata = ModelMetadata("cnn", ("r", "g", "b"), SIZE, "drawn", "CNN", "random", batch_size=7)
    rows = background_tests.draw_other_class_rows(labels, 1)
    assert (labels[rows] != labels).all()
    predictions = background_tests.predict_swapped_views(
        session.from_classifier(Classifier(model, metadata)), files, [files[row] for row in rows]
    )
    metrics = background_tests.summarize_swapped_views(predictions, labels, labels[rows], np.arange(60))
    assert metrics["frame_swapped"]["accuracy"] == 0
    assert metrics["frame_swapped"]["other_class"] == 1
    assert metrics["middle_swapped"]["accuracy"] == metrics["middle_painted"]["accuracy"] == 1
    assert metrics["frame_painted"]["accuracy"] == pytest.approx(1 / 3), "grey is nobody's colour"


def test_a_sample_is_stratified_and_repeatable():
    labels = np.repeat([0, 1, 2], [90, 9, 1])
    rows = numbers.sample_rows(labels, 20, 0)
    assert np.bincount(labels[rows]).tolist() == [17, 2, 1]
    assert (np.diff(rows) > 0).all()
    assert (rows == numbers.sample_rows(labels, 20, 0)).all()
    assert len(numbers.sample_rows(labels, 100, 0)) == 100


def test_the_sentence_says_what_it_was_measured_on():
    scores = {"accuracy": 0.73, "accuracy_low": 0.7, "accuracy_high": 0.76}
    facts = {"heads": {"frame": scores, "whole": scores | {"accuracy": 0.9}}, "chance": 0.25, "images": 1000}
    facts |= {"image_size": 96, "slot": "densenet", "backbone": "DenseNet121", "weights": "random"}
    sentence = background.describe_shortcuts(facts).replace("\N{NO-BREAK SPACE}", " ")
    assert sentence.startswith(
        "From the outer frame alone, 73 % of the pictures are classified correctly (70 % to 76 %; chance"
    )
    assert "a linear head on densenet (DenseNet121) with RANDOM weights" in sentence
    assert "1,000 pictures of 96 pixels" in sentence
