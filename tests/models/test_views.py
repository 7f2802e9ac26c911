"""Test-time augmentation: probabilities are averaged over flipped views and enlarged middle crops."""

import cv2
import keras
import numpy as np
import pytest
from keras import layers

from realwaste.evaluation import grad_cam
from realwaste.models import cnn, test_time_augmentation
from realwaste.training import head

ALL_VIEWS = ("both", "middle")


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(3)
    return cnn.build(16, 3, batch_norm_momentum=0.9)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)


FLIPPED: dict[str, list[tuple[slice, ...]]] = {
    "none": [],
    "horizontal": [np.s_[:, :, ::-1]],
    "both": [np.s_[:, :, ::-1], np.s_[:, ::-1], np.s_[:, ::-1, ::-1]],
}


def enlarge_middle(images):
    """Enlarge the middle 12 of 16 pixels per side."""
    cropped = images[:, 2:14, 2:14].astype(np.float32)
    return np.stack([np.rint(cv2.resize(image, (16, 16))) for image in cropped]).astype(np.uint8)


@pytest.mark.parametrize(("flips", "crops"), [("horizontal", "none"), ("both", "none"), ("none", "middle"), ALL_VIEWS])
def test_probabilities_are_the_mean_over_the_views_and_equal_for_flipped_images(
    classifier, pixels, flips, crops, tmp_path
):
    averaged = test_time_augmentation.average_views(classifier, flips, crops)
    averaged.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    crops_of_image = [pixels] if crops == "none" else [pixels, enlarge_middle(pixels)]
    views = [view for image in crops_of_image for view in (image, *(image[mirror] for mirror in FLIPPED[flips]))]
    expected = np.mean([classifier.predict_on_batch(view) for view in views], axis=0)
    for model in (averaged, loaded):
        np.testing.assert_allclose(model.predict_on_batch(pixels), expected, atol=1e-6)
        if flips != "none":
            np.testing.assert_allclose(model.predict_on_batch(pixels[:, :, ::-1]), expected, atol=1e-6)
    assert (np.abs(expected - classifier.predict_on_batch(pixels)) > 1e-4).any()
    assert loaded.count_params() == classifier.count_params()


@pytest.mark.parametrize("size", [15, 16, 17, 224, 260])
def test_the_enlarged_middle_crop_has_the_size_of_the_image_and_integer_pixels(size):
    image = keras.Input((size, size, 3), dtype="float32")
    pooled = layers.GlobalAveragePooling2D()(image)
    views = test_time_augmentation.views_model(
        test_time_augmentation.average_views(keras.Model(image, pooled), "none", "middle")
    )
    line = np.arange(size, dtype=np.float32) / size * 250
    pictures = np.repeat(np.broadcast_to(np.rint(line), (1, size, size))[..., np.newaxis], 3, axis=-1)
    unchanged, enlarged = views.predict_on_batch(pictures)
    np.testing.assert_array_equal(unchanged, pictures)
    assert enlarged.shape == pictures.shape
    np.testing.assert_array_equal(enlarged, np.rint(enlarged))
    assert enlarged[0, :, 0].min() == pytest.approx(250 / 8, abs=250 / size + 1)
    assert enlarged[0, :, -1].max() == pytest.approx(250 * 7 / 8, abs=2 * 250 / size + 1)


def test_averaging_without_views_returns_the_classifier(classifier):
    assert test_time_augmentation.average_views(classifier, test_time_augmentation.NONE) is classifier
    assert test_time_augmentation.single_view_model(classifier) is classifier


def test_grad_cam_uses_the_classifier_of_a_single_view(classifier, pixels):
    heat = grad_cam.GradCam(test_time_augmentation.average_views(classifier, *ALL_VIEWS)).heat(
        pixels, np.zeros(5, np.int64)
    )
    np.testing.assert_array_equal(heat, grad_cam.GradCam(classifier).heat(pixels, np.zeros(5, np.int64)))


def test_views_of_a_backbone_with_a_head_are_averaged(pixels):
    image = keras.Input((16, 16, 3), dtype="float32", name="image")
    backbone = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)), name="backbone")
    joined = head.join(backbone, head.build(4, 8, 3))
    probabilities = test_time_augmentation.average_views(joined, "horizontal").predict_on_batch(pixels)
    probabilities_by_view = joined.predict_on_batch(pixels), joined.predict_on_batch(pixels[:, :, ::-1])
    np.testing.assert_allclose(probabilities, np.mean(probabilities_by_view, axis=0), atol=1e-5)


@pytest.mark.parametrize(("flips", "expected"), [("none", 8), ("horizontal", 4), ("both", 2)])
def test_the_batch_size_is_divided_by_the_number_of_views(flips, expected):
    assert test_time_augmentation.batch_size(8, flips) == expected
    assert test_time_augmentation.batch_size(8, flips, "middle") == expected // 2
    assert test_time_augmentation.batch_size(1, flips) == 1
