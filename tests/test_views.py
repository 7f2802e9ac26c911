import keras
import numpy as np
import pytest
from keras import layers

from realwaste.classifier import test_time_augmentation
from realwaste.explanation import grad_cam
from realwaste.finetuning import head
from realwaste.network import cnn


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(3)
    return cnn.build(16, 3, batch_norm_momentum=0.9)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)


MIRRORED: dict[str, list[tuple[slice, ...]]] = {
    "horizontal": [np.s_[:, :, ::-1]],
    "both": [np.s_[:, :, ::-1], np.s_[:, ::-1], np.s_[:, ::-1, ::-1]],
}


@pytest.mark.parametrize("flips", MIRRORED)
def test_the_answer_is_the_mean_over_the_views_and_a_picture_and_its_mirror_image_get_the_same(
    classifier, pixels, flips, tmp_path
):
    whole = test_time_augmentation.averaged(classifier, flips)
    whole.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    seen = [pixels, *(pixels[view] for view in MIRRORED[flips])]
    expected = np.mean([classifier.predict_on_batch(view) for view in seen], axis=0)
    for model in (whole, loaded):
        np.testing.assert_allclose(model.predict_on_batch(pixels), expected, atol=1e-6)
        np.testing.assert_allclose(model.predict_on_batch(pixels[:, :, ::-1]), expected, atol=1e-6)
    assert (np.abs(expected - classifier.predict_on_batch(pixels)) > 1e-4).any()
    assert loaded.count_params() == classifier.count_params()


def test_none_is_the_classifier_itself(classifier):
    assert test_time_augmentation.averaged(classifier, test_time_augmentation.NONE) is classifier
    assert test_time_augmentation.single(classifier) is classifier


def test_what_looks_inside_finds_the_classifier_of_one_view(classifier, pixels):
    heat = grad_cam.GradCam(test_time_augmentation.averaged(classifier, "both")).heat(pixels, np.zeros(5, np.int64))
    np.testing.assert_array_equal(heat, grad_cam.GradCam(classifier).heat(pixels, np.zeros(5, np.int64)))


def test_a_head_with_its_backbone_too(pixels):
    image = keras.Input((16, 16, 3), dtype="float32", name="image")
    backbone = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)), name="backbone")
    joined = head.join(backbone, head.build(4, 8, 3))
    answer = test_time_augmentation.averaged(joined, "horizontal").predict_on_batch(pixels)
    both = joined.predict_on_batch(pixels), joined.predict_on_batch(pixels[:, :, ::-1])
    np.testing.assert_allclose(answer, np.mean(both, axis=0), atol=1e-5)


@pytest.mark.parametrize(("flips", "pictures"), [("none", 8), ("horizontal", 4), ("both", 2)])
def test_a_batch_of_pictures_has_no_more_views_than_the_memory_was_shown_to_hold(flips, pictures):
    assert test_time_augmentation.batch_size(8, flips) == pictures
    assert test_time_augmentation.batch_size(1, flips) == 1
