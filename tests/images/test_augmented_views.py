"""Augmented views: what they change, what they preserve, and which part of the split is trained on them."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from realwaste.embedding import embeddings, extraction
from realwaste.images.augmented_views import AugmentedView, ViewConfig
from realwaste.models import feature_split
from realwaste.runtime import determinism, inference_engine
from realwaste.training import finetune, head
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture
from realwaste.training.schedule import Schedule

ALL_CHANGES = ViewConfig(crop=0.5, stretch=0.5, color=0.4, background=0.5, degrade=0.5)


@pytest.fixture(scope="module")
def extractor():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    small_layers = [
        layers.Rescaling(1 / 64),
        layers.Conv2D(8, 5, strides=3, activation="relu"),
        layers.GlobalMaxPooling2D(),
    ]
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.Sequential(small_layers)(image), name="backbone")
    model.trainable = False
    return model


@pytest.fixture
def photos(images):
    root = images(glass=5, metal=4)
    return root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))


def test_a_view_depends_on_its_number_and_the_file_name_only():
    def view_bytes(path: str, number: int = 0) -> bytes:
        return AugmentedView(ALL_CHANGES, number)(Path(path), picture(1, 60, 60), 32).tobytes()

    assert view_bytes("/here/glass/1.jpg") == view_bytes("there/glass/1.jpg")
    others = view_bytes("glass/1.jpg", 1), view_bytes("glass/2.jpg"), view_bytes("metal/1.jpg")
    assert len({view_bytes("glass/1.jpg"), *others}) == 4


def test_by_default_a_view_is_only_rotated_and_mirrored():
    image = picture(2, 32, 32)
    expected = [np.rot90(source, turns).tobytes() for source in (image, image[:, ::-1]) for turns in range(4)]
    views = [AugmentedView(ViewConfig(), number)(Path("a/b.jpg"), image, 32).tobytes() for number in range(40)]
    assert set(views) == set(expected)


def test_a_new_background_keeps_the_object():
    image = np.full((200, 200, 3), (60, 90, 60), np.uint8)
    cv2.rectangle(image, (70, 60), (130, 140), (220, 30, 40), -1)
    for number in range(5):
        view = AugmentedView(ViewConfig(background=1), number)(Path("a/b.jpg"), image, 100)
        np.testing.assert_allclose(view[45:55, 45:55].mean(axis=(0, 1)), (220, 30, 40), atol=3)
        assert np.abs(view[:10].astype(float) - (60, 90, 60)).mean() > 10


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (90, 120)])
@pytest.mark.parametrize("value", [0, 255])
def test_views_of_extreme_sizes_and_colours_have_the_requested_size(shape, value):
    for number in range(3):
        config = ViewConfig(crop=0.9, stretch=3, color=0.9, background=1, degrade=1)
        view = AugmentedView(config, number)(Path("a/b.jpg"), np.full((*shape, 3), value, np.uint8), 16)
        assert view.shape == (16, 16, 3)
        assert view.dtype == np.uint8


def test_views_are_embedded_and_an_incomplete_embedding_is_completed(extractor, photos, tmp_path, monkeypatch):
    root, paths = photos
    monkeypatch.setattr(extraction, "CHECKPOINT_EVERY", 1)
    network = inference_engine.compile_network(extractor, 2, policy="float32", engine="openvino")

    def embed(view, folder):
        options = {"image_size": 32, "checkpoint_dir": tmp_path / folder, "view": view}
        return extraction.embed(network, root, paths, **options).vectors

    complete, other = embed(AugmentedView(ALL_CHANGES, 1), "whole"), embed(AugmentedView(ALL_CHANGES, 2), "other")
    plain = embed(None, "plain")
    for first, second in ((complete, plain), (complete, other)):
        assert (np.abs(first - second).max(axis=1) > 1e-3).all()
    for shard in sorted((tmp_path / "whole").iterdir())[2:]:
        shard.unlink()
    np.testing.assert_array_equal(embed(AugmentedView(ALL_CHANGES, 1), "whole"), complete)


def test_a_head_is_trained_on_views_and_validated_on_photographs(tmp_path):
    """The views of class b are far from its photographs: only a head that was trained on them predicts b."""
    paths = np.array([f"{label}/{number}.jpg" for label in "ab" for number in range(12)])
    labels = np.repeat([0, 1], 12)
    plain = np.random.default_rng(0).normal(0, 0.1, (24, 3)).astype(np.float32)
    plain[:, 0] += 1 - 2 * labels
    shifted = plain + np.array([0, 5, 0], np.float32) * labels[:, np.newaxis] + np.array([5, 0, 0], np.float32)
    embeddings.save(tmp_path / "v", embeddings.Embeddings(paths, plain))
    for number in range(2):
        folder = embeddings.view_folder(tmp_path / "v", number)
        embeddings.save(folder, embeddings.Embeddings(paths, shifted + number))
    split_of_row = np.resize(["train", "train", "val"], 24)
    splits = pd.DataFrame({"path": paths, "label": [path[0] for path in paths], "split": split_of_row})
    stored, views = embeddings.load(tmp_path / "v"), embeddings.load_views(tmp_path / "v")
    np.testing.assert_array_equal(stored.select(paths.tolist()), plain)

    def train_and_measure_accuracy(*view_sets):
        determinism.make_repeatable(1, deterministic=True)
        parts = finetune.select_vectors(splits, stored, *view_sets)
        assert len(parts.train.labels) == 16 * (1 + len(view_sets and view_sets[0]))
        np.testing.assert_array_equal(parts.val.inputs, plain[split_of_row == "val"])
        recipe = FinetuneRecipe(2, HeadArchitecture(16), Schedule(30, 8, 0.02, True, 1), True)
        fitted, _ = finetune.HeadTrainer(recipe).fit(parts, 1)
        return np.mean(fitted.predict_on_batch(shifted).argmax(axis=1) == labels)

    assert train_and_measure_accuracy() < 0.7
    assert train_and_measure_accuracy(views) > 0.95


def test_dropout_is_active_in_training_only(extractor):
    classifier = head.join(extractor, head.build(extractor.output_shape[-1], 8, 2, dropout=0.5))
    images = np.stack([picture(number, 32, 32) for number in range(2)])
    np.testing.assert_array_equal(classifier(images, training=False), classifier.predict_on_batch(images))
    assert np.abs(np.asarray(classifier(images, training=True)) - classifier.predict_on_batch(images)).max() > 0
    assert feature_split.accepts_cached_vectors(classifier)
