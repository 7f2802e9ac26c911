"""How much models and linear probes rely on the background: predictions for views of images; all images are drawn."""

import cv2
import keras
import numpy as np
import pytest
from conftest import picture
from keras import layers

from realwaste.dataset.labels import sample_rows
from realwaste.evaluation import background_tests, background_views
from realwaste.models import session
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.report import background
from realwaste.runtime import inference_engine

SIZE = 32


@pytest.fixture
def pictures():
    return np.stack([picture(seed, SIZE, SIZE) for seed in range(4)])


def test_frame_and_middle_together_contain_every_pixel_of_the_picture(pictures):
    frame, middle = background_views.frame(pictures), background_views.middle(pictures)
    margin = round(background_views.MARGIN * SIZE)
    inner = (slice(None), slice(margin, SIZE - margin), slice(margin, SIZE - margin))
    assert (middle[inner] == pictures[inner]).all()
    assert len(np.unique(frame[inner])) == 1
    assert (np.where(frame == pictures, frame, middle) == pictures).all()
    swapped = background_views.swap_frame(pictures, pictures[::-1])
    assert (swapped[inner] == pictures[inner]).all()
    assert (swapped[:, :margin] == pictures[::-1][:, :margin]).all()


def test_grey_views_have_equal_channels_and_tiny_views_hide_pixel_noise(pictures):
    grey = background_views.grey(pictures)
    assert (grey[..., 0] == grey[..., 2]).all()
    large = np.repeat(np.repeat(pictures, 4, axis=1), 4, axis=2)
    noisy = large ^ np.random.default_rng(0).integers(0, 2, large.shape, np.uint8)
    assert np.abs(background_views.tiny(noisy).astype(int) - background_views.tiny(large)).max() <= 2
    assert background_views.tiny(large).shape == large.shape


@pytest.fixture
def frame_photos(tmp_path):
    """Images whose class shows only in the outer frame, which is red, green or blue; the middle is noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    noise = rng.integers(0, 256, (60, SIZE, SIZE, 3), np.uint8)
    coloured = np.zeros_like(noise)
    coloured[np.arange(60), :, :, labels] = 220
    pixels = background_views.swap_frame(noise, coloured)
    files = [tmp_path / f"{number}.png" for number in range(60)]
    for file, image_pixels in zip(files, pixels, strict=True):
        cv2.imwrite(str(file), image_pixels[..., ::-1])
    return files, labels


@pytest.fixture
def extractor():
    """A feature extractor: the mean colours of cells of 4 by 4 pixels."""
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, layers.Flatten()(layers.AveragePooling2D(SIZE // 8)(image / 255.0)))


def test_a_linear_probe_detects_a_class_that_shows_only_in_the_frame(frame_photos, extractor):
    files, labels = frame_photos
    network = inference_engine.compile_network(extractor, 16, policy="float32", engine="openvino")
    features = background_tests.embed_views(network, files, SIZE)
    metrics = background_tests.probe_accuracies(features, labels, np.arange(60), 5)
    assert metrics["frame"]["accuracy"] == metrics["whole"]["accuracy"] == 1
    assert metrics["middle"]["accuracy"] < 0.6
    assert metrics["grey"]["accuracy"] > metrics["middle"]["accuracy"], "red, green and blue differ in brightness"
    assert metrics["middle"]["accuracy_low"] < metrics["middle"]["accuracy"] < metrics["middle"]["accuracy_high"]


def test_a_model_that_uses_the_frame_predicts_the_class_of_the_frame(frame_photos):
    files, labels = frame_photos
    image = keras.Input((SIZE, SIZE, 3))
    corner_colour = image[:, 0, 0, :] / 20.0
    model = keras.Model(image, layers.Softmax()(corner_colour))
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
    assert metrics["frame_painted"]["accuracy"] == pytest.approx(1 / 3), "grey is the colour of no class"


def test_sampled_rows_are_stratified_and_repeatable():
    labels = np.repeat([0, 1, 2], [90, 9, 1])
    rows = sample_rows(labels, 20, 0)
    assert np.bincount(labels[rows]).tolist() == [17, 2, 1]
    assert (np.diff(rows) > 0).all()
    assert (rows == sample_rows(labels, 20, 0)).all()
    assert len(sample_rows(labels, 100, 0)) == 100


def test_the_description_names_accuracy_interval_backbone_and_image_count():
    scores = {"accuracy": 0.73, "accuracy_low": 0.7, "accuracy_high": 0.76}
    metrics = {"heads": {"frame": scores, "whole": scores | {"accuracy": 0.9}}, "chance": 0.25, "images": 1000}
    metrics |= {"image_size": 96, "slot": "densenet", "backbone": "DenseNet121", "weights": "random"}
    sentence = background.describe_shortcuts(metrics).replace("\N{NO-BREAK SPACE}", " ")
    assert sentence.startswith(
        "From the outer frame alone, 73 % of the pictures are classified correctly (70 % to 76 %; chance"
    )
    assert "a linear head on densenet (DenseNet121) with RANDOM weights" in sentence
    assert "1,000 pictures of 96 pixels" in sentence
