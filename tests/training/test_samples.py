"""Decoded pictures in memory, in a file or nowhere: chosen by the stated rule, the same pixels in each."""

import cv2
import numpy as np
import pytest
from conftest import picture

from realwaste.core import machine
from realwaste.core.log import logger
from realwaste.dataset import manifest, split
from realwaste.images import reader
from realwaste.models import cnn
from realwaste.runtime import determinism
from realwaste.training import batches, samples, training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule

GB = 10**9


@pytest.mark.parametrize(
    ("wanted", "needed", "memory", "disk", "used"),
    [
        ("memory", 4 * GB, 8 * GB, 8 * GB, "memory"),
        ("memory", 4 * GB + 1, 8 * GB, 80 * GB, "disk"),
        ("memory", 4 * GB, 1 * GB, 1 * GB, "none"),
        ("disk", 1, 80 * GB, 80 * GB, "disk"),
        ("disk", 4 * GB, 80 * GB, 7 * GB, "none"),
        ("none", 1, 80 * GB, 80 * GB, "none"),
    ],
)
def test_the_rule(wanted, needed, memory, disk, used):
    assert samples.choose_cache(wanted, needed, memory=memory, disk=disk) == used


def test_falling_back_is_said(caplog, monkeypatch):
    monkeypatch.setattr(logger, "propagate", True)
    samples.choose_cache("memory", 4 * GB, memory=GB, disk=80 * GB)
    assert "4.0 GB of decoded pictures do not fit in cache: memory" in caplog.text
    assert caplog.text.strip().endswith("used: disk")


@pytest.fixture
def files(tmp_path):
    paths = []
    for index in range(20):
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), picture(index) // 4 + 120 * (index % 2))
    return paths


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_the_same_pixels_in_each(cache, files, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_CHUNK", 3)
    there = sorted(tmp_path.iterdir())
    pictures = samples.decode_all(files, 16, cache, tmp_path)
    assert pictures.shape == (20, 16, 16, 3)
    assert pictures.dtype == np.uint8
    index = np.array([7, 0, 7, 19])
    np.testing.assert_array_equal(pictures[index], reader.read_images([files[number] for number in index], 16))
    assert sorted(tmp_path.iterdir()) == there, "a file cache leaves no name behind"


def test_each_picture_is_decoded_once_unless_nothing_is_kept(files, tmp_path, monkeypatch):
    read = []
    decode_once = reader.read_image

    def counted(path, *how):
        read.append(path)
        return decode_once(path, *how)

    monkeypatch.setattr(reader, "read_image", counted)
    labels = np.arange(20) % 2
    weights = {}
    for cache in ("memory", "disk", "none"):
        read.clear()
        train = Samples(samples.decode_all(files, 16, cache, tmp_path), labels)
        determinism.make_repeatable(1, deterministic=True)
        model = cnn.build(16, 2, batch_norm_momentum=0.9)
        training_loop.fit(model, train, train, Schedule(2, 8, 0.001, True, 1))
        weights[cache] = model.get_weights()
        assert len(read) == (4 * 20 if cache == "none" else 20)
    for cache in ("disk", "none"):
        for ours, theirs in zip(weights[cache], weights["memory"], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_pictures_of_the_split_and_the_cache_that_was_used(images, tmp_path, monkeypatch):
    import pandas as pd

    root = images(a=3, b=3)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    splits = pd.DataFrame({"path": paths, "label": [path[0] for path in paths], "split": ["train", "val", "test"] * 2})
    monkeypatch.setattr(machine, "free_memory", lambda: 1000)
    train, val, used = samples.load_pictures(splits, root, 16, "memory")
    assert used == "disk"
    assert train.inputs.shape == val.inputs.shape == (2, 16, 16, 3)
    assert train.labels.tolist() == [0, 1]
    (first, labels), *_ = batches.ordered(val, batch_size=4)
    assert labels.numpy().tolist() == [0, 1]
    np.testing.assert_array_equal(first, val.inputs[np.arange(2)])


def test_trials_of_one_machine_share_its_memory(tmp_path, images, monkeypatch):
    root = images(glass=6, metal=6)
    table, *_ = manifest.scan(root)
    splits = split.stratified(table, train=0.5, val=0.25, test=0.25, seed=0)
    monkeypatch.setattr(machine, "free_memory", lambda: 4 * 9 * 16 * 16 * 3)
    assert samples.load_pictures(splits, root, 16, "memory")[2] == "memory"
    assert samples.load_pictures(splits, root, 16, "memory", side_by_side=2)[2] == "memory"
    assert samples.load_pictures(splits, root, 16, "memory", side_by_side=3)[2] == "disk"
