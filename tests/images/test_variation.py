"""Views of a photograph that were changed a little: what changes, what does not, and who learns from them."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from realwaste.embedding import embeddings, local_extraction
from realwaste.images import reader
from realwaste.images.augmented_views import Variation, View
from realwaste.runtime import determinism, inference_engine
from realwaste.training import finetune, head
from realwaste.training.finetune_recipe import FinetuneRecipe
from realwaste.training.schedule import Schedule

ALL = Variation(crop=0.5, stretch=0.5, color=0.4, background=0.5, degrade=0.5)


@pytest.fixture(scope="module")
def extractor():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    small = [layers.Rescaling(1 / 64), layers.Conv2D(8, 5, strides=3, activation="relu"), layers.GlobalMaxPooling2D()]
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.Sequential(small)(image), name="backbone")
    model.trainable = False
    return model


@pytest.fixture
def photos(images):
    root = images(glass=5, metal=4)
    return root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))


def test_a_view_is_the_same_wherever_the_folder_is_and_another_by_number_and_name():
    def seen(path: str, number: int = 0) -> bytes:
        return View(ALL, number)(Path(path), picture(1, 60, 60), 32).tobytes()

    assert seen("/here/glass/1.jpg") == seen("there/glass/1.jpg")
    assert len({seen("glass/1.jpg"), seen("glass/1.jpg", 1), seen("glass/2.jpg"), seen("metal/1.jpg")}) == 4


def test_without_a_share_a_view_is_turned_and_mirrored_alone():
    image = picture(2, 32, 32)
    turned = [np.rot90(way, turns).tobytes() for way in (image, image[:, ::-1]) for turns in range(4)]
    drawn = [View(Variation(), number)(Path("a/b.jpg"), image, 32).tobytes() for number in range(40)]
    assert set(drawn) == set(turned)


def test_another_ground_keeps_the_object():
    image = np.full((200, 200, 3), (60, 90, 60), np.uint8)
    cv2.rectangle(image, (70, 60), (130, 140), (220, 30, 40), -1)
    for number in range(5):
        view = View(Variation(background=1), number)(Path("a/b.jpg"), image, 100)
        np.testing.assert_allclose(view[45:55, 45:55].mean(axis=(0, 1)), (220, 30, 40), atol=3)
        assert np.abs(view[:10].astype(float) - (60, 90, 60)).mean() > 10


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (90, 120)])
@pytest.mark.parametrize("value", [0, 255])
def test_any_picture_has_views(shape, value):
    for number in range(3):
        how = Variation(crop=0.9, stretch=3, color=0.9, background=1, degrade=1)
        view = View(how, number)(Path("a/b.jpg"), np.full((*shape, 3), value, np.uint8), 16)
        assert view.shape == (16, 16, 3)
        assert view.dtype == np.uint8


def test_views_have_vectors_of_their_own_which_go_on_after_a_stop(extractor, photos, tmp_path, monkeypatch):
    root, paths = photos
    monkeypatch.setattr(local_extraction, "KEEP_EVERY", 1)
    network = inference_engine.compile_network(extractor, 2, policy="float32", engine="openvino")

    def embed(view, folder):
        kept = tmp_path / folder
        return local_extraction.embed(network, root, paths, image_size=32, checkpoint_dir=kept, view=view).vectors

    whole, other, plain = embed(View(ALL, 1), "whole"), embed(View(ALL, 2), "other"), embed(None, "plain")
    for one, two in ((whole, plain), (whole, other)):
        assert (np.abs(one - two).max(axis=1) > 1e-3).all()
    read, seen = reader.read, []

    def once(path, *rest):
        seen.append(path)
        return read(path, *rest)

    (tmp_path / "whole").rename(tmp_path / "cut")
    for part in sorted((tmp_path / "cut").iterdir())[2:]:
        part.unlink()
    monkeypatch.setattr(reader, "read", once)
    np.testing.assert_array_equal(embed(View(ALL, 1), "cut"), whole)
    assert sorted(seen) == [root / path for path in paths[4:]]


def test_a_head_learns_from_views_and_is_validated_on_photographs(tmp_path):
    """Views of class b lie where no photograph of it does: only who learned from them knows."""
    paths = np.array([f"{label}/{number}.jpg" for label in "ab" for number in range(12)])
    labels = np.repeat([0, 1], 12)
    plain = np.random.default_rng(0).normal(0, 0.1, (24, 3)).astype(np.float32)
    plain[:, 0] += 1 - 2 * labels
    aside = plain + np.array([0, 5, 0], np.float32) * labels[:, np.newaxis] + np.array([5, 0, 0], np.float32)
    embeddings.save(tmp_path / "v", embeddings.Embeddings(paths, plain))
    for number in range(2):
        folder = embeddings.view_folder(tmp_path / "v", number)
        embeddings.save(folder, embeddings.Embeddings(paths, aside + number))
    part = np.resize(["train", "train", "val"], 24)
    splits = pd.DataFrame({"path": paths, "label": [path[0] for path in paths], "split": part})
    stored, views = embeddings.load(tmp_path / "v"), embeddings.load_views(tmp_path / "v")
    np.testing.assert_array_equal(stored.select(paths.tolist()), plain)

    def learned(*given):
        determinism.make_repeatable(1, deterministic=True)
        parts = finetune.vectors_of(splits, stored, *given)
        assert len(parts.train.labels) == 16 * (1 + len(given and given[0]))
        np.testing.assert_array_equal(parts.val.inputs, plain[part == "val"])
        fitted, _ = finetune.fit_head(parts, FinetuneRecipe(2, 16, Schedule(30, 8, 0.02, True, 1), True), 1)
        return np.mean(fitted.predict_on_batch(aside).argmax(axis=1) == labels)

    assert learned() < 0.7
    assert learned(views) > 0.95


def test_dropout_is_at_work_in_training_alone(extractor):
    whole = head.join(extractor, head.build(extractor.output_shape[-1], 8, 2, dropout=0.5))
    images = np.stack([picture(number, 32, 32) for number in range(2)])
    np.testing.assert_array_equal(whole(images, training=False), whole.predict_on_batch(images))
    assert np.abs(np.asarray(whole(images, training=True)) - whole.predict_on_batch(images)).max() > 0
    assert head.is_enough(whole)
