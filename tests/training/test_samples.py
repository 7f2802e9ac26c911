"""Decoded pictures are cached in memory, on disk or not at all: the choice of the cache, and equal pixels in each."""

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from realwaste.core import machine
from realwaste.core.log import logger
from realwaste.dataset import manifest, split
from realwaste.images import reader
from realwaste.training import batches, samples
from realwaste.training.samples import Samples

GB = 10**9


@pytest.mark.parametrize(
    ("wanted", "needed", "memory", "disk", "expected"),
    [
        ("memory", 4 * GB, 8 * GB, 8 * GB, "memory"),
        ("memory", 4 * GB + 1, 8 * GB, 80 * GB, "disk"),
        ("memory", 4 * GB, 1 * GB, 1 * GB, "none"),
        ("disk", 1, 80 * GB, 80 * GB, "disk"),
        ("disk", 4 * GB, 80 * GB, 7 * GB, "none"),
        ("none", 1, 80 * GB, 80 * GB, "none"),
    ],
)
def test_the_first_cache_with_enough_room_is_chosen(wanted, needed, memory, disk, expected):
    assert samples.choose_cache(wanted, needed, memory=memory, disk=disk) == expected


def test_a_fallback_to_another_cache_is_logged(caplog, monkeypatch):
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
def test_every_cache_returns_the_same_pixels(cache, files, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_CHUNK", 3)
    files_before = sorted(tmp_path.iterdir())
    pictures = samples.decode_all(files, 16, cache, tmp_path)
    assert pictures.shape == (20, 16, 16, 3)
    assert pictures.dtype == np.uint8
    index = np.array([7, 0, 7, 19])
    np.testing.assert_array_equal(pictures[index], reader.read_images([files[number] for number in index], 16))
    assert sorted(tmp_path.iterdir()) == files_before, "the cache on disk must leave no named file"


def test_each_picture_is_decoded_once_with_a_cache_and_in_every_epoch_without(files, tmp_path, monkeypatch):
    decoded = []
    read_image = reader.read_image

    def record_read(path, *options):
        decoded.append(path)
        return read_image(path, *options)

    monkeypatch.setattr(reader, "read_image", record_read)
    labels = np.arange(20) % 2
    contents = {}
    for cache in ("memory", "disk", "none"):
        decoded.clear()
        train = Samples(samples.decode_all(files, 16, cache, tmp_path), labels)
        dataset = batches.shuffled(train, batch_size=8, epochs=2, seed=1, shuffle=True)
        contents[cache] = np.concatenate([pixels for pixels, _ in dataset])
        assert len(decoded) == (2 * 20 if cache == "none" else 20)
    for cache in ("disk", "none"):
        np.testing.assert_array_equal(contents[cache], contents["memory"])


def test_load_pictures_returns_the_samples_of_the_split_and_the_cache(images, tmp_path, monkeypatch):
    root = images(a=3, b=3)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    splits = pd.DataFrame({"path": paths, "label": [path[0] for path in paths], "split": ["train", "val", "test"] * 2})
    monkeypatch.setattr(machine, "free_memory", lambda: 1000)
    train, val, used_cache = samples.load_pictures(splits, root, 16, "memory")
    assert used_cache == "disk"
    assert train.inputs.shape == val.inputs.shape == (2, 16, 16, 3)
    assert train.labels.tolist() == [0, 1]
    (batch, labels), *_ = batches.ordered(val, batch_size=4)
    assert labels.numpy().tolist() == [0, 1]
    np.testing.assert_array_equal(batch, val.inputs[np.arange(2)])


def test_trials_on_one_machine_share_its_memory(tmp_path, images, monkeypatch):
    root = images(glass=6, metal=6)
    table, *_ = manifest.scan(root)
    splits = split.stratified(table, train=0.5, val=0.25, test=0.25, seed=0)
    monkeypatch.setattr(machine, "free_memory", lambda: 4 * 9 * 16 * 16 * 3)
    assert samples.load_pictures(splits, root, 16, "memory")[2] == "memory"
    assert samples.load_pictures(splits, root, 16, "memory", side_by_side=2)[2] == "memory"
    assert samples.load_pictures(splits, root, 16, "memory", side_by_side=3)[2] == "disk"
