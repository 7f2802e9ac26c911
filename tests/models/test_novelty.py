"""Novelty: the score, the features that it is computed from, and its storage in the model file."""

from dataclasses import replace

import cv2
import keras
import lively
import numpy as np
import pandas as pd
import pytest
from conftest import picture
from keras import layers

from realwaste.embedding.embeddings import Embeddings
from realwaste.images.reader import read_image
from realwaste.models import feature_split, model_file, novelty, session, test_time_augmentation
from realwaste.training import head, unfreezing

SIDE = 16


def _draw_vectors_near_axis(seed, count, axis=0):
    rows = np.abs(np.random.default_rng(seed).normal(0, 0.2, (count, 8))).astype(np.float32)
    rows[:, axis] += 1
    return rows


def _build_backbone_with_head():
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3), dtype="float32", name="image")
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, name="conv")(layers.Rescaling(1 / 255)(image)))
    backbone = keras.Model(image, pooled, name="backbone")
    backbone.trainable = False
    return head.join(backbone, head.build(6, 8, 3))


def _build_cnn():
    keras.utils.set_random_seed(3)
    return lively.cnn_classifier(SIDE).model


def _build_classifier(model, precision="float32"):
    return replace(lively.cnn_classifier(SIDE, precision=precision), model=model)


@pytest.fixture(scope="module")
def pixels():
    return np.stack([picture(seed, SIDE, SIDE) for seed in range(5)])


def test_the_score_is_one_minus_the_mean_cosine_of_the_three_nearest_vectors():
    train = np.array([[2, 0], [0, 1], [3, 3], [0, -5]], np.float32)
    fitted = novelty.fit(train, train)
    assert fitted is not None
    scores = fitted.scores(np.array([[7, 0], [0, -1], [0, 0]], np.float32))
    assert scores == pytest.approx([1 - (1 + 0 + 0.5**0.5) / 3, 1 - (1 + 0 - 0.5**0.5) / 3, 1], abs=1e-3)
    assert fitted.scores(100 * train) == pytest.approx(fitted.scores(train), abs=1e-6)


def test_the_threshold_is_the_95th_percentile_of_validation_scores():
    val = _draw_vectors_near_axis(1, 100)
    fitted = novelty.fit(_draw_vectors_near_axis(0, 200), val)
    assert fitted is not None
    assert (fitted.scores(val) > fitted.threshold).sum() == 5
    assert (fitted.scores(_draw_vectors_near_axis(2, 50, axis=5)) > fitted.threshold).all()


def test_fit_accepts_fewer_images_than_neighbours_but_not_nan_features():
    single = novelty.fit(_draw_vectors_near_axis(0, 1), _draw_vectors_near_axis(1, 2))
    assert single is not None
    assert single.scores(_draw_vectors_near_axis(0, 1)) == pytest.approx(0, abs=1e-3)
    diverged = _draw_vectors_near_axis(0, 4)
    diverged[1, 2] = np.nan
    assert novelty.fit(diverged, _draw_vectors_near_axis(1, 4)) is None
    assert novelty.fit(_draw_vectors_near_axis(1, 4), diverged) is None


def test_the_sample_of_training_vectors_is_limited_and_reproducible():
    np.testing.assert_array_equal(novelty.sample_indices(10), np.arange(10))
    sample = novelty.sample_indices(100_000)
    assert len(sample) == len(set(sample)) < 5_000
    np.testing.assert_array_equal(sample, novelty.sample_indices(100_000))
    assert (np.diff(sample) > 0).all()


@pytest.mark.parametrize("build", [_build_cnn, _build_backbone_with_head])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_features_with_test_time_views_are_those_of_the_unchanged_image(build, precision, pixels):
    network = build()
    classifier = _build_classifier(test_time_augmentation.average_views(network, "both", "middle"), precision)
    for inference in ("openvino", "tensorflow"):
        probabilities, features = session.from_classifier(classifier, inference=inference)(pixels)
        single_view = session.from_classifier(_build_classifier(network, precision), inference=inference)
        single_probabilities, single_features = single_view(pixels)
        # bfloat16 has three digits, and TensorFlow may sum in another order in another batch.
        tolerance = 1e-5 if precision == "float32" else 2e-2
        np.testing.assert_allclose(features, single_features, atol=tolerance)
        is_cnn = build is _build_cnn
        classify = keras.Sequential([network.layers[-1]]) if is_cnn else network.get_layer("head")
        np.testing.assert_allclose(classify.predict_on_batch(single_features), single_probabilities, atol=1e-5)
        # tests/models/test_views.py compares the predictions of this model with the mean over the views.
        np.testing.assert_allclose(probabilities, classifier.model.predict_on_batch(pixels), atol=tolerance)


def test_novelty_is_saved_in_the_model_file_and_older_files_have_none(tmp_path, pixels):
    classifier = _build_classifier(_build_cnn())
    _, features = session.from_classifier(classifier)(pixels)
    fitted = novelty.fit(features, features)
    assert fitted is not None
    model_file.save(tmp_path / "old.keras", classifier)
    model_file.save(tmp_path / "new.keras", replace(classifier, novelty=fitted))
    assert model_file.load(tmp_path / "old.keras").novelty is None
    loaded = model_file.load(tmp_path / "new.keras")
    assert loaded.novelty is not None
    assert loaded.novelty.threshold == fitted.threshold
    np.testing.assert_array_equal(loaded.novelty.train_features, fitted.train_features)
    _, loaded_features = session.open_session(tmp_path / "new.keras")(pixels)
    np.testing.assert_allclose(loaded.novelty.scores(loaded_features), fitted.scores(features), atol=1e-5)


@pytest.mark.parametrize("flips", ["none", "horizontal"])
@pytest.mark.parametrize("unfrozen", [False, True])
def test_novelty_is_fitted_to_cached_vectors_unless_the_backbone_was_fine_tuned(flips, unfrozen, tmp_path):
    paths = [f"{seed}.png" for seed in range(8)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(tmp_path / path), picture(seed, SIDE, SIDE))
    single_view_model = _build_backbone_with_head()
    pixels = np.stack([read_image(tmp_path / path, SIDE) for path in paths])
    _, vectors = feature_split.with_features(single_view_model).predict_on_batch(pixels)
    if unfrozen:
        unfreezing.unfreeze_last_layers(single_view_model.get_layer("backbone"), 1)
    cached = Embeddings(np.array(paths), np.asarray(vectors) if not unfrozen else np.zeros_like(vectors))
    classifier = _build_classifier(test_time_augmentation.average_views(single_view_model, flips))
    splits = pd.DataFrame({"path": paths, "split": ["train"] * 6 + ["val"] * 2})
    fitted = head.fit_novelty(classifier.model, session.from_classifier(classifier), cached, tmp_path, splits)
    expected = novelty.fit(vectors[:6], vectors[6:])
    assert fitted is not None
    assert expected is not None
    np.testing.assert_allclose(fitted.train_features.astype(float), expected.train_features.astype(float), atol=2e-3)
    assert fitted.threshold == pytest.approx(expected.threshold, abs=1e-4)
