"""What heads for photographs from elsewhere are chosen by. No figure here means anything."""

from dataclasses import asdict, replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd

from benchmarks import field
from benchmarks.parts import backgrounds
from benchmarks.parts.child import ROOT
from benchmarks.parts.elsewhere import Elsewhere
from benchmarks.parts.variants import Embedder, Variant
from realwaste.classifier import test_time_augmentation
from realwaste.dataset import manifest, split
from realwaste.finetuning import head
from realwaste.images.reader import read_many
from tools import sets


def test_the_set_for_photographs_from_elsewhere_is_what_was_measured():
    chosen, params = field.VARIANTS[field.CHOSEN], sets.load(ROOT / "sets.yaml")["field"].params
    measured = {f"views.{key}": value for key, value in asdict(field.LOOK).items()}
    measured |= {"views.count": chosen.views, "dropout": chosen.dropout, "test_crops": chosen.crops}
    measured["heads"] = chosen.heads
    assert chosen.flips == "none"
    assert params == {"split.strategy": "grouped"} | {
        f"finetune_{name}.{key}": value for name in ("irv2", "densenet") for key, value in measured.items()
    }


def test_a_head_is_asked_at_home_and_elsewhere(images, tmp_path, monkeypatch):
    root = images(Glass=12, Metal=12)
    accepted, *_ = manifest.scan(root)
    splits = {seed: split.stratified(accepted, train=0.6, val=0.2, test=0.2, seed=seed) for seed in (1,)}
    variants = {field.DEFAULT: Variant(1, 0.7), field.CHOSEN: Variant(1, 0.7, crops="middle")}  # the same heads
    monkeypatch.setattr(field, "VARIANTS", variants)
    monkeypatch.setattr(field, "HEAD", replace(field.HEAD, epochs=2))
    image = keras.Input((32, 32, 3))
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(image))
    embedder = Embedder(keras.Model(image, pooled, name="backbone"), 32, tmp_path / "kept")
    kind = pd.Series(np.arange(len(accepted)) % 2, accepted["path"])
    rows, heads = field.at_home(root, kind, splits, {False: embedder})
    assert [len(runs) for runs in rows.values()] == [1, 1]
    for where in ("val", "elsewhere", "ground"):
        assert all(0 <= run[f"{where}_accuracy"] <= 1 for runs in rows.values() for run in runs)
    other = tmp_path / "other"
    (root / "Metal").rename(other.with_name("m"))
    other.mkdir()
    other.with_name("m").rename(other / "METAL")
    (root / "Glass").rename(other / "paper")
    found = field.outside(other, ["Glass", "Metal"], embedder, heads)
    assert [run["images"] for runs in found.values() for run in runs] == [12] * 2, "paper is no class at home"
    figures = [run for runs in found.values() for run in runs]
    assert all(run["low"] - 1e-6 <= run["accuracy"] <= run["high"] + 1e-6 for run in figures)


def test_the_views_of_a_variant_are_those_that_its_classifier_would_have(images, tmp_path):
    root = images(Glass=3)
    image = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(image))
    embedder = Embedder(keras.Model(image, flat, name="backbone"), 16, tmp_path / "kept")
    paths = manifest.scan(root).manifest["path"].tolist()
    model = head.build(48, 8, 2)
    seen = embedder.seen(root, paths)
    pixels = read_many([root / path for path in paths], 16)
    for flips, crops in (("none", "none"), ("none", "middle"), ("horizontal", "middle")):
        whole = test_time_augmentation.averaged(head.join(embedder.backbone, model), flips, crops)
        given = embedder.answers(model, Variant(flips=flips, crops=crops), seen.vectors[:])
        np.testing.assert_allclose(given, whole.predict_on_batch(pixels), atol=1e-5)


def test_as_if_elsewhere_the_object_is_not_always_in_the_middle(tmp_path):
    """A white square on black: where it lies, how large it is, and what lies beside it."""
    grounds = {"Glass": [tmp_path / "g.png"], "Metal": [tmp_path / "m.png"]}
    for name, value in (("g", 20), ("m", 60)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 64, 3), value, np.uint8))
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[32:64, 32:64] = 255
    look, middles, areas = Elsewhere(grounds), [], []
    for number in range(40):
        seen = look(Path(f"Glass/{number}.png"), picture, 96)
        assert seen.shape == (96, 96, 3)
        assert seen.dtype == np.uint8
        np.testing.assert_array_equal(seen, look(Path(f"other/Glass/{number}.png"), picture, 96))
        inside = seen.mean(axis=2) > 0.6 * seen.mean() + 0.4 * seen.max()
        rows, columns = np.nonzero(inside)
        middles.append((rows.mean(), columns.mean()))
        areas.append(inside.mean())
    assert np.std(middles, axis=0).min() > 5
    assert np.abs(np.mean(middles, axis=0) - 47.5).max() < 8
    assert max(areas) > 2 * min(areas)


def test_photographs_on_like_ground_are_of_one_kind_and_those_shot_together_too():
    chance = np.random.default_rng(0)
    ground = np.arange(60) % 3
    frames = np.eye(5)[ground] + chance.normal(0, 0.05, (60, 5))
    labels = np.repeat(["a", "b"], 30)
    kinds = backgrounds.kinds(frames, labels, np.arange(60), 3)
    for label in "ab":
        pairs = {(one, kind) for one, kind, own in zip(ground, kinds, labels, strict=True) if own == label}
        assert len(pairs) == 3
    together = np.repeat(np.arange(20), 3)  # one of each ground
    assert (np.ptp(backgrounds.kinds(frames, labels, together, 3).reshape(20, 3), axis=1) == 0).all()
