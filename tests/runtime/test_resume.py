"""A training or an embedding that was stopped goes on and ends bit for bit as one that was not."""

import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from realwaste.core import log
from realwaste.core.files import write_csv
from realwaste.dataset import manifest
from realwaste.embedding import local_extraction
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import array_file, determinism, inference_engine, resume
from realwaste.training import checkpoint, training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule
from stages.launcher import dependencies


class StoppedError(Exception):
    pass


def _samples(count: int) -> Samples:
    pixels = np.stack([picture(index, 16, 16) // 4 + 120 * (index % 2) for index in range(count)]).astype(np.uint8)
    return Samples(pixels, np.arange(count) % 2)


def _fit(path, policy="float32", rate=0.001, live=None):
    determinism.make_repeatable(3, deterministic=True)
    model = cnn.build(16, 2, batch_norm_momentum=0.9)
    schedule = Schedule(5, 8, rate, True, 3, policy)
    trained = training_loop.fit(model, _samples(40), _samples(10), schedule, checkpoint=path, live=live)
    return model.get_weights(), trained


@pytest.fixture
def stop_after(monkeypatch):
    """stop_after(n): the n-th epoch that is written from now on is the last that this process lives to see."""

    def arrange(epochs: int) -> None:
        left = [epochs]
        write = checkpoint.Checkpoint.on_epoch_end

        def written(self, epoch, logs=None):
            write(self, epoch, logs)
            left[0] -= 1
            if left[0] == 0:
                monkeypatch.setattr(checkpoint.Checkpoint, "on_epoch_end", write)
                raise StoppedError

        monkeypatch.setattr(checkpoint.Checkpoint, "on_epoch_end", written)

    return arrange


@pytest.fixture(scope="module")
def undisturbed():
    """undisturbed(policy): weights and history of a training that is not stopped."""
    return cache(lambda policy: _fit(None, policy))


@pytest.mark.parametrize(
    ("policy", "stops"),
    [*(("float32", stops) for stops in ([1], [4], [2, 1], [5])), ("mixed_bfloat16", [2, 1]), ("mixed_float16", [2, 1])],
)
def test_a_training_goes_on_bit_for_bit(tmp_path, stop_after, undisturbed, policy, stops):
    weights, whole = undisturbed(policy)
    for epochs in stops:
        stop_after(epochs)
        with pytest.raises(StoppedError):
            _fit(tmp_path / "t", policy)
    resumed, trained = _fit(tmp_path / "t", policy)
    assert trained.history.equals(whole.history)
    for ours, theirs in zip(resumed, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_training_that_diverged_is_not_taken_up_again(tmp_path):
    _, first = _fit(tmp_path / "t", rate=1e38)
    _, again = _fit(tmp_path / "t", rate=1e38)
    assert first.diverged_epoch == again.diverged_epoch
    assert first.history.equals(again.history)


@pytest.mark.parametrize("patience", [None, 3])
def test_a_validation_loss_that_is_no_number_ends_a_training_whether_it_was_stopped_or_not(
    tmp_path, stop_after, patience
):
    """It went on where it was not stopped, and ended where it was."""

    def run(path):
        determinism.make_repeatable(3, deterministic=True)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        train, val = (Samples(np.full((8, 4), value, np.float32), np.arange(8) % 2) for value in (1, np.nan))
        schedule = Schedule(4, 4, 0.01, True, 3, patience=patience)
        trained = training_loop.fit(model, train, val, schedule, checkpoint=path, silent=True)
        return model.get_weights(), trained

    weights, whole = run(None)
    assert whole.diverged_epoch == len(whole.history) == whole.kept_epoch == 1
    assert whole.history["loss"].notna().all()
    stop_after(1)
    with pytest.raises(StoppedError):
        run(tmp_path / "t")
    resumed, trained = run(tmp_path / "t")
    assert trained.history.equals(whole.history)
    for ours, theirs in zip(resumed, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("rate", [0.001, 1e38])
def test_history_is_told_after_each_epoch_and_by_a_resumed_run_as_a_whole(tmp_path, stop_after, rate):
    told: list[pd.DataFrame] = []

    def run():
        model = cnn.build(16, 2, batch_norm_momentum=0.9)
        schedule = Schedule(3, 8, rate, True, 3)
        return training_loop.fit(
            model, _samples(40), _samples(10), schedule, checkpoint=tmp_path / "t", live=told.append
        )

    if rate < 1:
        stop_after(2)
        with pytest.raises(StoppedError):
            run()
        assert [len(history) for history in told] == [1]
    trained = run()
    assert told[-1].equals(trained.history)
    assert told[-1]["epoch"].tolist() == list(range(1, len(told[-1]) + 1))


def test_seconds_of_a_killed_run_count(tmp_path, stop_after, monkeypatch):
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr("realwaste.training.checkpoint.time.perf_counter", lambda: next(clock))
    stop_after(3)
    with pytest.raises(StoppedError):
        _fit(tmp_path / "t")
    _, trained = _fit(tmp_path / "t")
    assert trained.seconds == 5 * 7


@pytest.mark.parametrize("write", [array_file.write, array_file.overwrite])
def test_any_changed_byte_is_found(tmp_path, write):
    path = tmp_path / "a.npy"
    write(path, [np.zeros(1000)])
    written = [np.arange(5), np.array(2.5), np.ones((2, 3), np.float32), np.zeros((0, 4))]
    write(path, written)
    stored = array_file.read(path)
    assert stored is not None
    for ours, theirs in zip(stored, written, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert array_file.read(path) is None, place
        path.write_bytes(data[:place])
        assert array_file.read(path) is None, place
    assert array_file.read(tmp_path / "absent.npy") is None


@pytest.fixture
def heard(caplog, monkeypatch):
    monkeypatch.setattr(log.logger, "propagate", True)  # log.setup, in whatever test, takes it away
    return caplog


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The two files of a training that was stopped after its fourth epoch."""

    def stop(history):
        if len(history) == 4:
            raise StoppedError

    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(StoppedError):
        _fit(folder / "t", live=stop)
    return folder


@pytest.mark.parametrize("kept", [b"", b"PK", 0.5, 0.99])
@pytest.mark.parametrize("damaged", [["t.0"], ["t.1"], ["t.0", "t.1"]])
def test_a_damaged_checkpoint_is_no_checkpoint(stopped, undisturbed, damaged, kept, heard):
    """One of the two files: the other's epoch is gone on from. Both: the training starts anew."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(shutil.copytree(stopped, folder, dirs_exist_ok=True))
        for name in damaged:
            data = (files / name).read_bytes()
            (files / name).write_bytes(kept if isinstance(kept, bytes) else data[: int(kept * len(data))])
        told: list[int] = []
        found, _ = _fit(files / "t", live=lambda history: told.append(len(history)))
    assert told[0] == {("t.0",): 4, ("t.1",): 5, ("t.0", "t.1"): 1}[tuple(damaged)]
    assert ("starts anew" in heard.text) == (len(damaged) == 2)
    for ours, theirs in zip(found, undisturbed("float32")[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "STATE", tmp_path / "state")
    (tmp_path / "splits.csv").write_text("a")
    return [tmp_path / "splits.csv"]


def test_state_waits_for_the_same_work_alone(inputs, tmp_path, monkeypatch):
    def left(facts):
        try:
            with resume.progress_folder("s", facts, inputs) as folder:
                found = [path.name for path in folder.iterdir()]
                (folder / "x").write_text("x")
                raise StoppedError
        except StoppedError:
            return found

    assert left({"rate": 1}) == []
    assert left({"rate": 1}) == ["x"]
    assert left({"rate": 2}) == [], "another parameter"
    assert left({"rate": 1}) == [], "what the other work left was cleared away"
    inputs[0].write_text("b")
    assert left({"rate": 1}) == [], "another split"
    monkeypatch.setattr(determinism, "version", lambda library: "9.9")
    assert left({"rate": 1}) == [], "other libraries"
    assert left({"rate": 1}) == ["x"]
    assert len(list((tmp_path / "state/s").iterdir())) == 1


@pytest.fixture
def checkout(images, tmp_path, monkeypatch):
    """One stage, by its dvc.yaml, with a few pictures and the manifest that validate_images leaves of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resume, "STATE", tmp_path / "state")
    images(inside="data/raw", a=3, b=3)
    deps = ["data/raw", "data/manifest.csv", "data/embeddings/x", "src/training.py", "stages/s.py"]
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"s": {"deps": deps}}}))
    for name in ("data/embeddings/x/0.npy", "src/training.py", "src/charts.py", "stages/s.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "resumes"),
    [
        ("stages/s.py", False),
        ("src/training.py", False),
        ("src/charts.py", True),
        ("data/embeddings/x/0.npy", False),
        ("data/raw/a/a_1.jpg", False),
        ("the parameter", False),
        (None, True),
    ],
)
def test_a_killed_stage_goes_on_by_its_own_dependencies(checkout, changed, resumes):
    """Its own file, a module it lists, one it does not list, a folder it lists, a picture, a parameter; none."""

    def progress(rate):
        write_csv(Path("data/manifest.csv"), manifest.scan(Path("data/raw"))[0])
        with suppress(StoppedError), resume.progress_folder("s", {"rate": rate}, dependencies.files("s")) as folder:
            found = [path.name for path in folder.iterdir()]
            (folder / "epoch").touch()
            raise StoppedError
        return found

    assert progress(1) == []
    if changed and changed.endswith(".jpg"):
        cv2.imwrite(changed, picture(99))
    elif changed and "/" in changed:
        Path(changed).write_text("changed")
    assert progress(2 if changed == "the parameter" else 1) == (["epoch"] if resumes else [])


def test_state_goes_when_the_stage_ends(inputs, tmp_path):
    with resume.progress_folder("s", {}, inputs) as folder:
        (folder / "x").write_text("x")
    assert list((tmp_path / "state").iterdir()) == []


def test_an_embedding_goes_on_bit_for_bit(images, tmp_path, monkeypatch):
    root = images(a=7, b=6)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    extractor = feature_extractor.build("MobileNetV2", 32, None, seed=1)
    monkeypatch.setattr(local_extraction, "CHECKPOINT_EVERY", 2)
    kept = tmp_path / "kept"
    kept.mkdir()

    network = inference_engine.compile_network(extractor, 2, policy="float32", engine="openvino")
    whole = local_extraction.embed(network, root, paths, image_size=32).vectors
    calls = []

    def counted(pixels):
        calls.append(len(pixels))
        if len(calls) == 6:
            raise StoppedError
        return network.run(pixels)

    def run() -> np.ndarray:
        return np.asarray(
            local_extraction.embed(replace(network, run=counted), root, paths, image_size=32, checkpoint_dir=kept).vectors
        )

    with pytest.raises(StoppedError):
        run()
    assert sorted(path.name for path in kept.iterdir()) == ["rows_000000000.npy", "rows_000000004.npy"]
    (kept / "rows_000000004.npy").write_bytes(b"\x93NUMPY")  # as a loss of power may leave it
    calls[:] = [0] * 10
    np.testing.assert_array_equal(run(), whole)
    assert len(calls) == 10 + 5, "two of seven batches were kept"
    np.testing.assert_array_equal(run(), whole)
    assert len(calls) == 15
