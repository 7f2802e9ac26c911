"""A folder of embeddings: saved and loaded unchanged in one file or many; an incomplete folder is rejected."""

import json

import numpy as np
import pytest

from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.embedding import embeddings
from realwaste.images import array_shards
from realwaste.training import batches
from realwaste.training.samples import Samples

PATHS = np.array([f"{label}/ü {number}.jpg" for label in "ab" for number in range(11)])
STORED = embeddings.Embeddings(PATHS, np.random.default_rng(0).normal(size=(22, 3)).astype(np.float32))


@pytest.fixture(params=[1, 5, 22, 1000], ids=lambda rows: f"{rows} rows a file")
def folder(request, tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "SHARD_BYTES", request.param * 3 * 4)
    embeddings.save(tmp_path / "v", STORED)
    assert len(list((tmp_path / "v").glob("*.vectors.npy"))) == -(-22 // request.param)
    return tmp_path / "v"


def test_saved_embeddings_are_loaded_unchanged(folder):
    loaded = embeddings.load(folder)
    np.testing.assert_array_equal(loaded.paths, PATHS)
    np.testing.assert_array_equal(loaded.vectors, STORED.vectors, strict=True)
    assert loaded.vectors.shape == (22, 3)
    assert loaded.vectors.dtype == np.float32
    selected = [PATHS[number] for number in (21, 0, 7, 7, 5)]
    np.testing.assert_array_equal(loaded.select(selected), STORED.select(selected), strict=True)
    with pytest.raises(KeyError):
        loaded.select(["c/1.jpg"])


def test_batches_are_the_same_for_vectors_that_do_not_fit_in_memory(folder, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 0)
    vectors, labels = embeddings.load(folder).select(PATHS[4:20].tolist()), np.arange(16)
    assert isinstance(vectors, array_shards.Shards) == (len(list(folder.iterdir())) > 3)
    streamed = batches.shuffled(Samples(vectors, labels), batch_size=5, epochs=2, seed=1, shuffle=True)
    in_memory = batches.shuffled(Samples(STORED.vectors[4:20], labels), batch_size=5, epochs=2, seed=1, shuffle=True)
    for actual, expected in zip(streamed, in_memory, strict=True):
        np.testing.assert_array_equal(actual[0], expected[0])
        np.testing.assert_array_equal(actual[1], expected[1])


def test_shards_are_indexed_like_a_numpy_array(folder):
    files = sorted(folder.glob("*.vectors.npy"))
    shards = array_shards.Shards(files, [len(np.load(file)) for file in files])
    mask = np.arange(22) % 3 == 0
    for index in (slice(3, 17), slice(None, None, -2), mask, np.array([5, 21, 0, -1, 5]), np.array([], np.int64)):
        np.testing.assert_array_equal(shards[index], STORED.vectors[index], strict=True)
        np.testing.assert_array_equal(shards.take(index), STORED.vectors[index], strict=True)
    np.testing.assert_array_equal(shards.take(mask)[np.array([2, 0])], STORED.vectors[mask][[2, 0]])
    for invalid_index in (22, -23):
        with pytest.raises(IndexError):
            shards[np.array([invalid_index])]


def test_saving_replaces_an_existing_folder(folder):
    fewer = embeddings.Embeddings(PATHS[:2], STORED.vectors[:2])
    embeddings.save(folder, fewer)
    np.testing.assert_array_equal(embeddings.load(folder).vectors, fewer.vectors)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def _duplicate_path(folder):
    path = folder / "00000.paths.npy"
    paths = np.load(path)
    paths[0] = PATHS[-1]
    np.save(path, paths)


def _drop_vector(folder):
    path = sorted(folder.glob("*.vectors.npy"))[-1]
    np.save(path, np.load(path)[:-1])


def _fewer_shards(folder):
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"shards": index["shards"] - 1}))


@pytest.mark.parametrize(
    "damage",
    [
        _duplicate_path,
        _drop_vector,
        _fewer_shards,
        lambda folder: (folder / "index.json").unlink(),
        lambda folder: (folder / "index.json").write_text("{"),
        lambda folder: sorted(folder.glob("*.vectors.npy"))[-1].unlink(),
        lambda folder: (folder / "00000.paths.npy").write_bytes(b"\x93NUM"),
    ],
)
def test_an_incomplete_folder_is_rejected(folder, damage):
    damage(folder)
    with pytest.raises(UserError, match="one vector for each image"):
        embeddings.load(folder)
