"""A stopped training or embedding resumes with a result that equals, bit for bit, that of an uninterrupted one."""

import json
import shutil
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
from realwaste.embedding import extraction
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import array_file, determinism, inference_engine, resume
from realwaste.training import training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule
from stages.launcher import dependencies


class StoppedError(Exception):
    pass


def _assert_equal(actual, expected):
    for actual_array, expected_array in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(actual_array, expected_array, strict=True)


def _samples(count: int) -> Samples:
    pixels = np.stack([picture(index, 16, 16) // 4 + 120 * (index % 2) for index in range(count)]).astype(np.uint8)
    return Samples(pixels, np.arange(count) % 2)


def _stop_after(epoch):
    """A callback that stops a training when the checkpoint of this epoch is written."""

    def on_epoch_end(history):
        if len(history) == epoch:
            raise StoppedError

    return on_epoch_end


def _train(path, policy="float32", rate=0.001, on_epoch_end=None):
    determinism.make_repeatable(3, deterministic=True)
    model = cnn.build(16, 2, batch_norm_momentum=0.9)
    schedule = Schedule(5, 8, rate, True, 3, policy)
    trained = training_loop.fit(model, _samples(40), _samples(10), schedule, checkpoint=path, on_epoch_end=on_epoch_end)
    return model.get_weights(), trained


@pytest.fixture(scope="module")
def train_uninterrupted():
    """train_uninterrupted(policy): weights and history of a training without a stop."""
    return cache(lambda policy: _train(None, policy))


@pytest.mark.parametrize(
    ("policy", "stops"),
    [("float32", [2, 3]), ("float32", [5]), ("mixed_bfloat16", [2, 3]), ("mixed_float16", [2, 3])],
)
def test_a_training_resumes_bit_for_bit(tmp_path, train_uninterrupted, policy, stops):
    expected_weights, expected = train_uninterrupted(policy)
    for epoch in stops:
        with pytest.raises(StoppedError):
            _train(tmp_path / "t", policy, on_epoch_end=_stop_after(epoch))
    resumed, trained = _train(tmp_path / "t", policy)
    assert trained.history.equals(expected.history)
    _assert_equal(resumed, expected_weights)


def test_a_diverged_training_is_not_continued(tmp_path):
    _, first = _train(tmp_path / "t", rate=1e38)
    _, second = _train(tmp_path / "t", rate=1e38)
    assert first.diverged_epoch == second.diverged_epoch
    assert first.history.equals(second.history)


@pytest.mark.parametrize("patience", [None, 3])
def test_a_nan_validation_loss_ends_the_training_also_after_a_resume(tmp_path, patience):
    def run(path, on_epoch_end=None):
        determinism.make_repeatable(3, deterministic=True)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        train, val = (Samples(np.full((8, 4), value, np.float32), np.arange(8) % 2) for value in (1, np.nan))
        schedule = Schedule(4, 4, 0.01, True, 3, patience=patience)
        trained = training_loop.fit(
            model, train, val, schedule, checkpoint=path, on_epoch_end=on_epoch_end, silent=True
        )
        return model.get_weights(), trained

    expected_weights, expected = run(None)
    assert expected.diverged_epoch == len(expected.history) == expected.kept_epoch == 1
    assert expected.history["loss"].notna().all()
    with pytest.raises(StoppedError):
        run(tmp_path / "t", _stop_after(1))
    resumed, trained = run(tmp_path / "t")
    assert trained.history.equals(expected.history)
    _assert_equal(resumed, expected_weights)


@pytest.mark.parametrize("rate", [0.001, 1e38])
def test_live_receives_the_history_after_each_epoch_and_after_a_resume(tmp_path, rate):
    histories: list[pd.DataFrame] = []

    def record_and_stop(history):
        histories.append(history)
        _stop_after(2)(history)

    if rate < 1:
        with pytest.raises(StoppedError):
            _train(tmp_path / "t", rate=rate, on_epoch_end=record_and_stop)
        assert [len(history) for history in histories] == [1, 2]
    _, trained = _train(tmp_path / "t", rate=rate, on_epoch_end=histories.append)
    assert histories[-1].equals(trained.history)
    assert histories[-1]["epoch"].tolist() == list(range(1, len(histories[-1]) + 1))


def test_training_time_includes_the_epochs_before_a_stop(tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr("realwaste.training.checkpoint.time.perf_counter", lambda: next(clock))
    with pytest.raises(StoppedError):
        _train(tmp_path / "t", on_epoch_end=_stop_after(3))
    _, trained = _train(tmp_path / "t")
    assert trained.seconds == 5 * 7


@pytest.mark.parametrize("write", [array_file.write, array_file.overwrite])
def test_any_changed_byte_is_detected(tmp_path, write):
    path = tmp_path / "a.npy"
    write(path, [np.zeros(1000)])
    arrays = [np.arange(5), np.array(2.5), np.ones((2, 3), np.float32), np.zeros((0, 4))]
    write(path, arrays)
    stored = array_file.read(path)
    assert stored is not None
    _assert_equal(stored, arrays)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert array_file.read(path) is None, position
        path.write_bytes(data[:position])
        assert array_file.read(path) is None, position
    assert array_file.read(tmp_path / "absent.npy") is None


@pytest.fixture
def log_messages(caplog, monkeypatch):
    monkeypatch.setattr(log.logger, "propagate", True)  # log.setup in another test may have unset it
    return caplog


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The two checkpoint files of a training that was stopped after its fourth epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(StoppedError):
        _train(folder / "t", on_epoch_end=_stop_after(4))
    return folder


@pytest.fixture
def stopped_copy(stopped, tmp_path):
    return Path(shutil.copytree(stopped, tmp_path / "stopped"))


@pytest.mark.parametrize(
    ("damaged", "content"), [(["t.0"], b""), (["t.1"], 0.99), (["t.0", "t.1"], b"PK"), (["t.0", "t.1"], 0.5)]
)
def test_a_damaged_checkpoint_is_ignored(stopped_copy, train_uninterrupted, damaged, content, log_messages):
    """If one of the two files is damaged, the training resumes from the other; if both are, it starts anew.

    test_any_changed_byte_is_detected covers every damage of one file.
    """
    for name in damaged:
        data = (stopped_copy / name).read_bytes()
        (stopped_copy / name).write_bytes(content if isinstance(content, bytes) else data[: int(content * len(data))])
    epochs: list[int] = []
    weights, _ = _train(stopped_copy / "t", on_epoch_end=lambda history: epochs.append(len(history)))
    assert epochs[0] == {("t.0",): 4, ("t.1",): 5, ("t.0", "t.1"): 1}[tuple(damaged)]
    assert ("starts from the first epoch" in log_messages.text) == (len(damaged) == 2)
    _assert_equal(weights, train_uninterrupted("float32")[0])


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "STATE", tmp_path / "state")
    (tmp_path / "splits.csv").write_text("a")
    return [tmp_path / "splits.csv"]


def test_progress_is_resumed_with_the_same_settings_and_inputs_only(inputs, tmp_path, monkeypatch):
    def list_progress(settings):
        try:
            with resume.progress_folder("s", settings, inputs) as folder:
                names = [path.name for path in folder.iterdir()]
                (folder / "x").write_text("x")
                raise StoppedError
        except StoppedError:
            return names

    assert list_progress({"rate": 1}) == []
    assert list_progress({"rate": 1}) == ["x"]
    assert list_progress({"rate": 2}) == [], "another parameter"
    assert list_progress({"rate": 1}) == [], "progress with other settings deletes this progress"
    inputs[0].write_text("b")
    assert list_progress({"rate": 1}) == [], "another split"
    monkeypatch.setattr(determinism, "version", lambda library: "9.9")
    assert list_progress({"rate": 1}) == [], "other libraries"
    assert list_progress({"rate": 1}) == ["x"]
    assert len(list((tmp_path / "state/s").iterdir())) == 1


@pytest.fixture
def checkout(images, tmp_path, monkeypatch):
    """A checkout with one stage in dvc.yaml, a few images and their manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resume, "STATE", tmp_path / "state")
    images(inside="data/raw", a=3, b=3)
    deps = ["data/raw", "data/manifest.csv", "data/embeddings/x", "src/training.py", "stages/s.py"]
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"s": {"deps": deps}}}))
    for name in ("data/embeddings/x/0.npy", "src/training.py", "src/charts.py", "stages/s.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
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
def test_a_killed_stage_resumes_unless_one_of_its_dependencies_changed(checkout, changed, resumes):
    """Cases: its file, a module in deps, another module, a folder in deps, an image, a parameter, and no change."""

    def progress(rate):
        write_csv(Path("data/manifest.csv"), manifest.scan(Path("data/raw"))[0])
        with suppress(StoppedError), resume.progress_folder("s", {"rate": rate}, dependencies.files("s")) as folder:
            names = [path.name for path in folder.iterdir()]
            (folder / "epoch").touch()
            raise StoppedError
        return names

    assert progress(1) == []
    if changed and changed.endswith(".jpg"):
        cv2.imwrite(changed, picture(99))
    elif changed and "/" in changed:
        Path(changed).write_text("changed")
    assert progress(2 if changed == "the parameter" else 1) == (["epoch"] if resumes else [])


def test_progress_is_deleted_when_the_stage_ends(inputs, tmp_path):
    with resume.progress_folder("s", {}, inputs) as folder:
        (folder / "x").write_text("x")
    assert list((tmp_path / "state").iterdir()) == []


def test_an_embedding_resumes_bit_for_bit(images, tmp_path, monkeypatch):
    root = images(a=7, b=6)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    extractor = feature_extractor.build("MobileNet", 32, None, seed=1)
    monkeypatch.setattr(extraction, "CHECKPOINT_EVERY", 2)
    checkpoint_dir = tmp_path / "checkpoint"
    checkpoint_dir.mkdir()

    network = inference_engine.compile_network(extractor, 2, policy="float32", engine="openvino")
    expected = extraction.embed(network, root, paths, image_size=32).vectors
    calls = []

    def count_calls(pixels):
        calls.append(len(pixels))
        if len(calls) == 6:
            raise StoppedError
        return network.run(pixels)

    def run() -> np.ndarray:
        stoppable = replace(network, run=count_calls)
        result = extraction.embed(stoppable, root, paths, image_size=32, checkpoint_dir=checkpoint_dir)
        return np.asarray(result.vectors)

    with pytest.raises(StoppedError):
        run()
    assert sorted(path.name for path in checkpoint_dir.iterdir()) == ["rows_000000000.npy", "rows_000000004.npy"]
    (checkpoint_dir / "rows_000000004.npy").write_bytes(b"\x93NUMPY")  # as after a power failure
    calls[:] = [0] * 10
    np.testing.assert_array_equal(run(), expected)
    assert len(calls) == 10 + 5, "two of seven batches were in the checkpoint"
    np.testing.assert_array_equal(run(), expected)
    assert len(calls) == 15
