"""Inference-only networks: every engine gives the same outputs, and converted networks are cached on disk."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import cv2
import keras
import lively
import numpy as np
import pytest
import tensorflow as tf
import without_tensorflow
from conftest import picture

from benchmarks.parts.child import ROOT
from realwaste.core import machine
from realwaste.models import cnn, model_file, session, test_time_augmentation
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.runtime import converted_cache, device, inference_engine, network_bytes, openvino_network
from realwaste.runtime.openvino_network import openvino
from realwaste.training import head

SIDE = 32
CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def extractor():
    return lively.extractor("MobileNet", SIDE)


@pytest.fixture(scope="module")
def pixels():
    return np.stack([picture(seed, SIDE, SIDE) for seed in range(11)])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REALWASTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/networks"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    keras.utils.set_random_seed(1)
    metadata = ModelMetadata("cnn", CLASSES, SIDE, "drawn", "CNN", "random", batch_size=4)
    path = tmp_path_factory.mktemp("saved") / "m.keras"
    return _save_older(path, Classifier(cnn.build(SIDE, 3, batch_norm_momentum=0.9), metadata))


def _save_older(path, classifier):
    """As earlier versions saved it: without converted networks, so that the cache is used."""
    model_file.save(path.with_name("new.keras"), classifier)
    return without_tensorflow.remove_networks(path.with_name("new.keras"), path)


@pytest.fixture
def file(saved, tmp_path):
    return shutil.copyfile(saved, tmp_path / "m.keras")


@pytest.fixture(scope="module")
def cache_and_probabilities(saved, pixels, tmp_path_factory):
    """The cache after `saved` was opened once, and its predictions; shared, because conversion is slow."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REALWASTE_CACHE", str(folder))
        return folder / "networks", session.open_session(saved)(pixels)[0]


@pytest.fixture
def filled_cache(cache_and_probabilities, cache):
    """A copy of the cache for one test, and the predictions."""
    shutil.copytree(cache_and_probabilities[0], cache)
    return cache, cache_and_probabilities[1]


def _open_without_keras(path):
    def fail(_):
        raise AssertionError("the cached network must be read")

    return session.open_session(path, load=fail)


def test_conversion_with_an_index_of_variables_gives_the_same_network(extractor):
    graph = tf.function(lambda batch: extractor(batch, training=False), autograph=False).get_concrete_function(
        tf.TensorSpec(extractor.inputs[0].shape, extractor.inputs[0].dtype)
    )
    _, weights = openvino_network.to_bytes(openvino.convert_model(graph, share_weights=False))
    assert openvino_network.to_bytes(openvino_network.convert(extractor))[1] == weights
    assert len(weights) > 3 * extractor.count_params()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_outputs_do_not_depend_on_batch_size_threads_saving_or_serialization(extractor, pixels, policy, tmp_path):
    """An embedding may be killed and resumed, and be shared by workers of one thread each."""
    converted = openvino_network.convert(extractor)
    expected = openvino_network.compile_network(converted, 16, policy)(pixels)
    assert expected.shape == (11, 1024)
    assert np.ptp(expected, axis=0).max() > 0.1, "equal vectors would prove nothing"
    serialized = network_bytes.serialize(extractor, "openvino")
    openvino_network.save(tmp_path / "n.xml", converted)
    for rows in (1, 4, 16):
        for network in (
            openvino_network.compile_network(converted, rows, policy),
            openvino_network.compile_network(openvino_network.load(tmp_path / "n.xml"), rows, policy),
            network_bytes.deserialize(serialized, rows, policy, threads=1),
        ):
            np.testing.assert_array_equal(network(pixels), expected)
            np.testing.assert_array_equal(network(pixels[3:4]), expected[3:4])


def test_probabilities_equal_those_of_keras(extractor, pixels):
    keras.utils.set_random_seed(1)
    single_view = head.join(extractor, lively.head_of(extractor, 3))
    classifier = test_time_augmentation.average_views(single_view, "both", "middle")
    metadata = ModelMetadata("irv2", CLASSES, SIDE, "drawn", "MobileNetV2", "random", batch_size=4)
    expected = classifier.predict_on_batch(pixels)
    assert np.ptp(expected, axis=0).max() > 0.02
    for inference in ("openvino", "tensorflow"):
        probabilities, _ = session.from_classifier(Classifier(classifier, metadata), inference=inference)(pixels)
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)  # random weights amplify rounding
        low_precision = Classifier(classifier, replace(metadata, precision="mixed_bfloat16"))
        low = session.from_classifier(low_precision, inference=inference)
        assert np.abs(low(pixels)[0] - probabilities).max() > 1e-3


def test_an_older_model_that_mirrors_along_two_axes_at_once_works(extractor, pixels):
    keras.utils.set_random_seed(1)
    plain = head.join(extractor, lively.head_of(extractor, 3))
    image = keras.Input((SIDE, SIDE, 3))
    core = keras.Model(plain.inputs, plain.outputs[0], name="one_view")
    mirrored = [keras.ops.flip(image, axes) for axes in (1, 2, (1, 2))]
    by_view = keras.ops.reshape(core(keras.layers.Concatenate(axis=0)([image, *mirrored])), (4, -1, 3))
    older = Classifier(
        keras.Model(image, keras.ops.mean(by_view, axis=0)), ModelMetadata("irv2", CLASSES, SIDE, "d", "M", "r")
    )
    probabilities, _ = session.from_classifier(older, inference="openvino")(pixels)
    np.testing.assert_allclose(probabilities, older.model.predict_on_batch(pixels), atol=1e-4)


def test_a_diverged_network_gives_nan(file, cache, pixels):
    loaded = model_file.load(file)
    loaded.model.set_weights([weight * np.nan for weight in loaded.model.get_weights()])
    model_file.save(file, loaded)
    for inference in ("openvino", "tensorflow"):
        assert np.isnan(session.open_session(file, inference=inference)(pixels)[0]).all()


def test_a_converted_network_is_found_by_the_bytes_of_its_file(file, cache, pixels, tmp_path):
    first = session.open_session(file)(pixels)
    (entry,) = cache.iterdir()
    for ours, theirs in zip(_open_without_keras(file)(pixels), first, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    copied = tmp_path / "copied.keras"
    copied.write_bytes(file.read_bytes())
    np.testing.assert_array_equal(_open_without_keras(copied)(pixels)[0], first[0])
    loaded = model_file.load(file)
    _save_older(file, replace(loaded, metadata=replace(loaded.metadata, dataset="another")))
    with pytest.raises(AssertionError, match="must be read"):
        _open_without_keras(file)
    session.open_session(file)
    assert len(list(cache.iterdir())) == 2
    assert entry.is_dir()


@pytest.mark.parametrize("name", ["extract.xml", "extract.bin", "classify.xml", "classify.bin"])
@pytest.mark.parametrize("damage", ["deleted", "truncated", "empty"])
def test_a_damaged_entry_is_converted_again(name, damage, filled_cache, file, pixels):
    cache, expected = filled_cache
    damaged = next(cache.iterdir()) / name
    content = damaged.read_bytes()
    damaged.unlink()
    if damage != "deleted":
        damaged.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    np.testing.assert_array_equal(session.open_session(file)(pixels)[0], expected)
    np.testing.assert_array_equal(_open_without_keras(file)(pixels)[0], expected)


def test_prediction_works_with_an_unwritable_cache(file, tmp_path, monkeypatch, pixels):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("REALWASTE_CACHE", str(tmp_path / "file"))
    assert session.open_session(file)(pixels)[0].shape == (11, 3)


def test_the_least_recently_used_entries_are_deleted(file, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(converted_cache, "_MAX_ENTRIES", 2)
    networks = {"network": openvino_network.convert(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))}
    for number in range(4):
        (tmp_path / f"{number}").write_text(str(number))
        converted_cache.load_or_convert(tmp_path / f"{number}", ("network",), lambda: networks)
        for age, entry in enumerate(sorted(cache.iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True)):
            os.utime(entry, (1_000_000 - 1000 * number - age,) * 2) if number == 0 else None
    assert len(list(cache.iterdir())) == 2


def test_prediction_needs_no_tensorflow_and_sends_no_telemetry(file, tmp_path):
    """On the second run of an older model file; OpenVINO's telemetry package would create ~/intel and send data."""
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture(0, 40, 40))
    code = (
        "import sys; from typer.testing import CliRunner; from realwaste.__main__ import app; "
        f"done = CliRunner().invoke(app, ['predict', 'photo.jpg', '-m', {str(file)!r}, '--json']); print(done.stdout); "
        "print([name for name in ('tensorflow', 'keras', 'openvino_telemetry') if sys.modules.get(name)])"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HOME": str(home), "CI": "", "TF_BUILD": ""}
    environment.pop("REALWASTE_CACHE", None)

    def predict():
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        output, modules = done.stdout.rsplit("\n", 2)[:2]
        return json.loads(output)["answers"], modules

    first, _ = predict()
    assert predict() == (first, "[]")
    assert not (home / "intel").exists()


@pytest.mark.parametrize(
    ("choice", "policy", "gpus", "engine"),
    [
        ("auto", "float32", None, "openvino"),
        ("auto", "mixed_bfloat16", [], "openvino"),
        ("auto", "mixed_bfloat16", ["GPU"], "tensorflow"),
        ("auto", "mixed_float16", None, "tensorflow"),
        ("tensorflow", "float32", None, "tensorflow"),
        ("openvino", "float32", ["GPU"], "openvino"),
    ],
)
def test_auto_uses_tensorflow_on_a_gpu(choice, policy, gpus, engine, monkeypatch):
    """gpus: those that TensorFlow sees; None if the machine has no NVIDIA driver."""
    monkeypatch.setattr(machine, "may_have_gpu", lambda: gpus is not None)
    monkeypatch.setattr(device, "list_gpus", lambda: gpus)
    assert inference_engine.resolve_engine(choice, policy) == engine


def test_a_converted_network_does_not_share_weights(monkeypatch):
    """Checked by the option: shared weights are overwritten only by chance, and only in large models."""
    received, convert = [], openvino.convert_model

    def record_options(graph, **options):
        received.append(options)
        return convert(graph, **options)

    monkeypatch.setattr(openvino, "convert_model", record_options)
    image = keras.Input((8, 8, 3))
    openvino_network.convert(keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)))
    assert received == [{"share_weights": False}]
