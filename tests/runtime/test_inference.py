"""Inference networks: every engine gives the same outputs, and converted networks are cached on disk."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from unittest.mock import Mock

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
from realwaste.core.files import hash_file
from realwaste.models import inference_networks, model_file, session, test_time_augmentation
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.runtime import device, inference_engine, network_bytes, openvino_network
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
def cache(tmp_path):
    return tmp_path / "cache/networks"


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    keras.utils.set_random_seed(1)
    return _save_older(tmp_path_factory.mktemp("saved") / "m.keras", lively.cnn_classifier(batch_size=4))


def _save_older(path, classifier):
    """Save the model as earlier versions did: without converted networks, so that the cache is used."""
    model_file.save(path.with_name("new.keras"), classifier)
    return without_tensorflow.remove_networks(path.with_name("new.keras"), path)


@pytest.fixture
def model_path(saved_model, tmp_path):
    return shutil.copyfile(saved_model, tmp_path / "m.keras")


def _open_without_keras(path):
    return session.open_session(path, load=Mock(side_effect=AssertionError("the cached network must be read")))


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
    for batch_size in (1, 4, 16):
        for network in (
            openvino_network.compile_network(converted, batch_size, policy),
            openvino_network.compile_network(openvino_network.load(tmp_path / "n.xml"), batch_size, policy),
            network_bytes.deserialize(serialized, "openvino", batch_size=batch_size, policy=policy, threads=1),
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
        low_precision_session = session.from_classifier(low_precision, inference=inference)
        assert np.abs(low_precision_session(pixels)[0] - probabilities).max() > 1e-3


def test_openvino_runs_an_older_model_that_flips_two_axes_at_once(extractor, pixels):
    keras.utils.set_random_seed(1)
    single_view = head.join(extractor, lively.head_of(extractor, 3))
    image = keras.Input((SIDE, SIDE, 3))
    single_view_model = keras.Model(single_view.inputs, single_view.outputs[0], name="one_view")
    flipped = [keras.ops.flip(image, axes) for axes in (1, 2, (1, 2))]
    by_view = keras.ops.reshape(single_view_model(keras.layers.Concatenate(axis=0)([image, *flipped])), (4, -1, 3))
    older = Classifier(
        keras.Model(image, keras.ops.mean(by_view, axis=0)), ModelMetadata("irv2", CLASSES, SIDE, "d", "M", "r")
    )
    probabilities, _ = session.from_classifier(older, inference="openvino")(pixels)
    np.testing.assert_allclose(probabilities, older.model.predict_on_batch(pixels), atol=1e-4)


def test_a_diverged_network_gives_nan_probabilities(model_path, cache, pixels):
    loaded = model_file.load(model_path)
    loaded.model.set_weights([weight * np.nan for weight in loaded.model.get_weights()])
    model_file.save(model_path, loaded)
    for inference in ("openvino", "tensorflow"):
        assert np.isnan(session.open_session(model_path, inference=inference)(pixels)[0]).all()


def test_cached_networks_are_identified_by_the_content_of_the_model_file(model_path, cache, pixels, tmp_path):
    expected = session.open_session(model_path)(pixels)
    (entry,) = cache.iterdir()
    for actual, expected_array in zip(_open_without_keras(model_path)(pixels), expected, strict=True):
        np.testing.assert_array_equal(actual, expected_array)
    copied = tmp_path / "copied.keras"
    copied.write_bytes(model_path.read_bytes())
    np.testing.assert_array_equal(_open_without_keras(copied)(pixels)[0], expected[0])
    loaded = model_file.load(model_path)
    _save_older(model_path, replace(loaded, metadata=replace(loaded.metadata, dataset="another")))
    with pytest.raises(AssertionError, match="must be read"):
        _open_without_keras(model_path)
    session.open_session(model_path)
    assert len(list(cache.iterdir())) == 2
    assert entry.is_dir()


def test_a_damaged_cache_entry_is_converted_again(model_path, cache, pixels):
    expected = session.open_session(model_path)(pixels)[0]
    (entry,) = cache.iterdir()
    content = {file.name: file.read_bytes() for file in entry.iterdir()}
    damaged_files = [
        *((name, None) for name in ("extract.xml", "classify.bin")),
        *((name, b"") for name in ("extract.bin", "classify.xml")),
        *((name, content[name][: len(content[name]) // 2]) for name in ("extract.xml", "classify.bin")),
    ]
    for name, damaged in damaged_files:
        (entry / name).unlink()
        if damaged is not None:
            (entry / name).write_bytes(damaged)
        np.testing.assert_array_equal(session.open_session(model_path)(pixels)[0], expected)
        np.testing.assert_array_equal(_open_without_keras(model_path)(pixels)[0], expected)


def test_prediction_works_with_an_unwritable_cache(model_path, tmp_path, monkeypatch, pixels):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("REALWASTE_CACHE", str(tmp_path / "file"))
    assert session.open_session(model_path)(pixels)[0].shape == (11, 3)


def test_the_least_recently_used_cache_entries_are_deleted(model_path, cache, monkeypatch):
    monkeypatch.setattr(inference_networks, "_MAX_CACHED", 2)
    for name, seconds in (("older-2-x", 1000), ("newer-2-x", 2000)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (seconds, seconds))
    session.open_session(model_path)
    assert {entry.name.partition("-")[0] for entry in cache.iterdir()} == {"newer", hash_file(model_path)}


def test_prediction_needs_no_tensorflow_and_sends_no_telemetry(model_path, tmp_path):
    """From the second run on, also for an older model. The telemetry package of OpenVINO would create ~/intel."""
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture(0, 40, 40))
    code = (
        "import sys; from typer.testing import CliRunner; from realwaste.__main__ import app; "
        f"done = CliRunner().invoke(app, ['predict', 'photo.jpg', '-m', {str(model_path)!r}, '--json']); "
        "print(done.stdout); "
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
def test_auto_engine_is_tensorflow_on_a_gpu_and_for_float16(choice, policy, gpus, engine, monkeypatch):
    """gpus: the GPUs that TensorFlow lists; None on a machine without an NVIDIA driver."""
    monkeypatch.setattr(machine, "may_have_gpu", lambda: gpus is not None)
    monkeypatch.setattr(device, "list_gpus", lambda: gpus)
    assert inference_engine.resolve_engine(choice, policy) == engine


def test_conversion_does_not_share_weights(monkeypatch):
    """The test checks the option, because shared weights are overwritten only by chance and only in large models."""
    convert = Mock(wraps=openvino.convert_model)
    monkeypatch.setattr(openvino, "convert_model", convert)
    openvino_network.convert(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]))
    assert convert.call_args.kwargs == {"share_weights": False}
