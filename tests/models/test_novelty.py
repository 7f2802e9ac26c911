"""How strange a picture is to a model: the score, the features it is measured on, and its way into the model's file."""

import io
import zipfile
from dataclasses import replace

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from conftest import picture
from keras import layers

from realwaste.core.errors import UserError
from realwaste.embedding.embeddings import Embeddings
from realwaste.images.reader import read_image
from realwaste.models import cnn, feature_split, model_file, novelty, session, test_time_augmentation
from realwaste.models.model_file import Classifier, Facts
from realwaste.training import head, unfreezing

SIDE = 16


def _rows(seed, count, towards=0):
    """Vectors that lie around one axis."""
    rows = np.abs(np.random.default_rng(seed).normal(0, 0.2, (count, 8))).astype(np.float32)
    rows[:, towards] += 1
    return rows


def _joined():
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3), dtype="float32", name="image")
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, name="conv")(layers.Rescaling(1 / 255)(image)))
    backbone = keras.Model(image, pooled, name="backbone")
    backbone.trainable = False
    return head.join(backbone, head.build(6, 8, 3))


def _cnn():
    keras.utils.set_random_seed(3)
    return cnn.build(SIDE, 3, batch_norm_momentum=0.9)


def _classifier(model, precision="float32"):
    return Classifier(model, Facts("cnn", ("a", "b", "c"), SIDE, "photos", "CNN", "random", precision=precision))


@pytest.fixture(scope="module")
def pixels():
    return np.stack([picture(seed, SIDE, SIDE) for seed in range(5)])


def test_the_score_is_one_minus_the_mean_cosine_with_the_three_nearest():
    train = np.array([[2, 0], [0, 1], [3, 3], [0, -5]], np.float32)
    known = novelty.fit(train, train)
    assert known is not None
    found = known.scores(np.array([[7, 0], [0, -1], [0, 0]], np.float32))
    assert found == pytest.approx([1 - (1 + 0 + 0.5**0.5) / 3, 1 - (1 + 0 - 0.5**0.5) / 3, 1], abs=1e-3)
    assert known.scores(100 * train) == pytest.approx(known.scores(train), abs=1e-6)


def test_the_threshold_lets_95_of_100_validation_pictures_pass_and_stops_what_lies_elsewhere():
    val = _rows(1, 100)
    known = novelty.fit(_rows(0, 200), val)
    assert known is not None
    assert (known.scores(val) > known.threshold).sum() == 5
    assert (known.scores(_rows(2, 50, towards=5)) > known.threshold).all()


def test_fewer_pictures_than_neighbours_and_a_network_that_diverged():
    one = novelty.fit(_rows(0, 1), _rows(1, 2))
    assert one is not None
    assert one.scores(_rows(0, 1)) == pytest.approx(0, abs=1e-3)
    wrong = _rows(0, 4)
    wrong[1, 2] = np.nan
    assert novelty.fit(wrong, _rows(1, 4)) is None
    assert novelty.fit(_rows(1, 4), wrong) is None


def test_a_model_file_holds_only_so_many_vectors():
    np.testing.assert_array_equal(novelty.sample_indices(10), np.arange(10))
    some = novelty.sample_indices(100_000)
    assert len(some) == len(set(some)) < 5_000
    np.testing.assert_array_equal(some, novelty.sample_indices(100_000))
    assert (np.diff(some) > 0).all()


VIEWS = {"none": [(1, 1)], "horizontal": [(1, 1), (1, -1)], "both": [(1, 1), (1, -1), (-1, 1), (-1, -1)]}


def _middle(pictures):
    cut = pictures[:, 2:-2, 2:-2].astype(np.float32)
    return np.stack([np.rint(cv2.resize(one, (SIDE, SIDE))) for one in cut]).astype(np.uint8)


@pytest.mark.parametrize(("flips", "crops"), [*((flips, "none") for flips in VIEWS), ("horizontal", "middle")])
@pytest.mark.parametrize("build", [_cnn, _joined])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_features_come_with_the_answer_and_are_those_of_the_picture_as_it_is(build, flips, crops, precision, pixels):
    plain = build()
    classifier = _classifier(test_time_augmentation.average_views(plain, flips, crops), precision)
    for inference in ("openvino", "tensorflow"):
        answers, found = session.from_classifier(classifier, inference=inference)(pixels)
        asked = session.from_classifier(_classifier(plain, precision), inference=inference)
        plainly, alone = asked(pixels)
        # bfloat16 has three digits, and TensorFlow may sum another batch in another order.
        tolerance = 1e-5 if precision == "float32" else 2e-2
        np.testing.assert_allclose(found, alone, atol=tolerance)
        last = plain.get_layer("head") if build is _joined else keras.Sequential([plain.layers[-1]])
        np.testing.assert_allclose(last.predict_on_batch(alone), plainly, atol=1e-5)
        shown = [pixels] if crops == "none" else [pixels, _middle(pixels)]
        views = [asked(one[:, ::rows, ::columns])[0] for one in shown for rows, columns in VIEWS[flips]]
        np.testing.assert_allclose(answers, np.mean(views, axis=0), atol=tolerance)


def test_the_file_keeps_it_and_one_of_before_has_none(tmp_path, pixels):
    classifier = _classifier(_cnn())
    _, given = session.from_classifier(classifier)(pixels)
    known = novelty.fit(given, given)
    assert known is not None
    model_file.save(tmp_path / "old.keras", classifier)
    model_file.save(tmp_path / "new.keras", replace(classifier, novelty=known))
    assert model_file.load(tmp_path / "old.keras").novelty is None
    loaded = model_file.load(tmp_path / "new.keras")
    assert loaded.novelty is not None
    assert loaded.novelty.threshold == known.threshold
    np.testing.assert_array_equal(loaded.novelty.train_features, known.train_features)
    _, again = session.open_session(tmp_path / "new.keras")(pixels)
    np.testing.assert_allclose(loaded.novelty.scores(again), known.scores(given), atol=1e-5)


@pytest.mark.parametrize("content", [b"no array", b""])
def test_a_damaged_one_is_refused_in_words(content, tmp_path):
    model_file.save(tmp_path / "m.keras", _classifier(_cnn()))
    with zipfile.ZipFile(tmp_path / "m.keras", "a") as archive:
        archive.writestr("novelty.npz", content)
    with pytest.raises(UserError, match="whole"):
        model_file.load(tmp_path / "m.keras")
    file = io.BytesIO()
    np.savez(file, learned=np.zeros(3, np.float16), threshold=0.1)
    file.seek(0)
    with pytest.raises(ValueError, match="shape"):
        novelty.load(file)


@pytest.mark.parametrize("flips", ["none", "horizontal"])
@pytest.mark.parametrize("unfrozen", [False, True])
def test_of_a_head_it_is_measured_on_cached_vectors_unless_the_backbone_has_learned(flips, unfrozen, tmp_path):
    paths = [f"{seed}.png" for seed in range(8)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(tmp_path / path), picture(seed, SIDE, SIDE))
    plain = _joined()
    pictures = np.stack([read_image(tmp_path / path, SIDE) for path in paths])
    _, vectors = feature_split.with_features(plain).predict_on_batch(pictures)
    if unfrozen:
        unfreezing.unfreeze(plain.get_layer("backbone"), 1)
    cached = Embeddings(np.array(paths), np.asarray(vectors) if not unfrozen else np.zeros_like(vectors))
    classifier = _classifier(test_time_augmentation.average_views(plain, flips))
    splits = pd.DataFrame({"path": paths, "split": ["train"] * 6 + ["val"] * 2})
    known = head.novelty_of(classifier.model, session.from_classifier(classifier), cached, tmp_path, splits)
    expected = novelty.fit(vectors[:6], vectors[6:])
    assert known is not None
    assert expected is not None
    np.testing.assert_allclose(known.train_features.astype(float), expected.train_features.astype(float), atol=2e-3)
    assert known.threshold == pytest.approx(expected.threshold, abs=1e-4)
