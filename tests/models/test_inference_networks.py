"""A model file contains its networks converted to OpenVINO: predict, evaluate and serve need no TensorFlow."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from dataclasses import replace
from unittest.mock import Mock

import cv2
import keras
import lively
import numpy as np
import pytest
import without_tensorflow
from conftest import picture
from typer.testing import CliRunner
from without_tensorflow import OF_EVALUATION, OF_TRAINING

from realwaste.__main__ import app
from realwaste.core import log
from realwaste.models import inference_networks, model_file, novelty, session, test_time_augmentation
from realwaste.runtime import inference_engine, openvino_network

SIDE = 32
CLASSES = ("glass", "metal", "paper")


@pytest.fixture(scope="module")
def classifier():
    """A CNN with test-time views, calibration and novelty detection."""
    keras.utils.set_random_seed(1)
    single_view = lively.cnn_classifier(SIDE, CLASSES, temperature=1.5, batch_size=4)
    plain = replace(single_view, model=test_time_augmentation.average_views(single_view.model, "horizontal"))
    features = session.from_classifier(plain, inference="openvino")(_draw_pixels())[1]
    return replace(plain, novelty=novelty.fit(features[:6], features[6:]))


@pytest.fixture(scope="module")
def project(classifier, tmp_path_factory):
    """A folder with models/cnn.keras, older.keras as an earlier version saved it, and labelled photographs."""
    root = tmp_path_factory.mktemp("project")
    (root / "models").mkdir()
    model_file.save(root / "models/cnn.keras", classifier)
    without_tensorflow.remove_networks(root / "models/cnn.keras", root / "older.keras")
    for number, name in enumerate(CLASSES):
        (root / "photos" / name).mkdir(parents=True)
        for index in range(2):
            cv2.imwrite(str(root / f"photos/{name}/{index}.png"), picture(10 * number + index))
    return root


def _draw_pixels():
    return np.stack([picture(seed, SIDE, SIDE) for seed in range(11)])


def test_a_saved_model_predicts_bit_for_bit_the_same_without_keras(classifier, project, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(log.logger, "propagate", True)
    caplog.set_level("INFO", "realwaste")
    expected = session.from_classifier(classifier, inference="openvino")(_draw_pixels())
    must_not_load = Mock(side_effect=AssertionError)
    opened = session.open_session(project / "models/cnn.keras", inference="openvino", load=must_not_load)
    for actual, expected_array in zip(opened(_draw_pixels()), expected, strict=True):
        np.testing.assert_array_equal(actual, expected_array)
    older = session.open_session(project / "older.keras", inference="openvino")
    session.open_session(project / "older.keras", inference="openvino", load=must_not_load)
    # A set, because pytest may capture a message twice.
    messages = {message for message in caplog.messages if message.startswith("preparing ")}
    assert messages == {f"preparing {project / 'older.keras'} for this machine (once)"}
    np.testing.assert_array_equal(older(_draw_pixels())[0], expected[0])
    assert len(list((tmp_path / "cache/networks").iterdir())) == 1, "only the older file is converted"
    keras_model = keras.saving.load_model(project / "models/cnn.keras")
    keras_expected = classifier.model.predict_on_batch(_draw_pixels())
    np.testing.assert_array_equal(keras_model.predict_on_batch(_draw_pixels()), keras_expected)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("predict", "photos", "--json", "--min-confidence", "0.5"), OF_TRAINING + OF_EVALUATION),
        (("predict", "photos", "--csv", "a.csv", "--sort-into", "sorted"), OF_TRAINING + OF_EVALUATION),
        (("predict", "photos", "--all-models"), OF_TRAINING + OF_EVALUATION),
        (("evaluate", "photos", "--json"), OF_TRAINING),
        (("compare", "cnn", "models/cnn.keras", "photos", "--json"), OF_TRAINING),
    ],
    ids=lambda value: value[0],
)
def test_commands_give_the_same_output_without_tensorflow(arguments, missing, project, monkeypatch):
    chosen = () if {"--all-models", "compare"} & set(arguments) else ("--model", "models/cnn.keras")
    done = without_tensorflow.run(project, *arguments, *chosen, missing=missing)
    assert done.returncode == 0, done.stderr
    table = (project / "a.csv").read_bytes() if "--csv" in arguments else None
    monkeypatch.chdir(project)
    expected = CliRunner(env={"COLUMNS": "300"}).invoke(app, [*arguments, *chosen])
    if "--json" in arguments:
        assert json.loads(done.stdout) == json.loads(expected.stdout)
    else:
        assert done.stdout.split() == expected.stdout.split()
    if table:
        assert b"strangeness" in table
        assert (project / "a.csv").read_bytes() == table


def test_serve_predicts_without_tensorflow(project):
    arguments = ["serve", "--model", "models/cnn.keras", "--port", "0"]
    command = without_tensorflow.command(*arguments, missing=OF_TRAINING + OF_EVALUATION)
    environment = without_tensorflow.environment(project / "no cache")
    photo = (project / "photos/glass/0.png").read_bytes()
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            log = ""
            while not (url := re.search(r"http://127\.0\.0\.1:\d+/", log)):
                assert process.poll() is None, log
                log += process.stderr.readline()
            assert "no heat maps: TensorFlow is not installed" in process.stderr.readline()
            plain, with_saliency = (
                json.load(urllib.request.urlopen(f"{url.group()}predict{query}", data=photo, timeout=30))  # noqa: S310
                for query in ("", "?saliency=true&of=metal")
            )
        finally:
            process.terminate()
    done = without_tensorflow.run(project, "predict", "photos/glass/0.png", "-m", "models/cnn.keras", "--json")
    (expected,) = json.loads(done.stdout)["answers"]
    assert plain["predictions"] == expected["predictions"]
    assert plain["strangeness"] == expected["strangeness"]
    assert with_saliency == plain | {"saliency_of": None, "saliency": None}


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (("predict", "photos", "--overlay", "heat", "-m", "cnn"), "keras", "train"),
        (("export", "--format", "saved_model", "-m", "cnn"), "keras", "train"),
        (("report", "--against", "HEAD"), "pandas", "evaluate"),
        (("evaluate", "photos", "-m", "cnn"), "pandas", "evaluate"),
    ],
    ids=lambda value: value[0],
)
def test_a_missing_package_is_named_in_a_two_line_error(arguments, package, extra, project):
    done = without_tensorflow.run(project, *arguments, missing=OF_TRAINING + OF_EVALUATION)
    assert done.returncode == 1
    *_, rule, remedy = done.stderr.strip().splitlines()
    assert f"This needs the package {package}, which is not installed." in rule
    assert remedy.strip() == f"Run `make setup`, or pip install '.[{extra}]', in the checkout."


def test_a_file_of_an_earlier_version_needs_tensorflow(project):
    done = without_tensorflow.run(project, "predict", "photos", "--model", "older.keras")
    assert done.returncode == 1
    rule, remedy = done.stderr.strip().splitlines()[-2:]
    assert "older.keras has no usable OpenVINO network, like files of earlier versions, so it needs TensorFlow." in rule
    assert remedy.strip() == "Train it again, or install TensorFlow: pip install '.[train]' in the checkout."


def _replace_extract(*layers):
    """Edits that replace the network `extract` by another one."""
    converted = openvino_network.convert(keras.Sequential(layers))
    contents = zip((".xml", ".bin"), openvino_network.to_bytes(converted), strict=True)
    return {f"/extract{suffix}": lambda _, content=content: content for suffix, content in contents}


FLATTEN, DENSE = keras.layers.Flatten, keras.layers.Dense


@pytest.mark.parametrize(
    "changes",
    [
        {"/extract.xml": lambda data: data[: len(data) // 2]},
        {"/extract.xml": lambda data: b""},
        {"/classify.xml": lambda data: None},
        {"/extract.bin": lambda data: data[: len(data) // 2]},
        {"/classify.bin": lambda data: b""},
        _replace_extract(keras.Input((16, 16, 3)), FLATTEN(), DENSE(3)),
        _replace_extract(keras.Input((SIDE, SIDE, 3)), FLATTEN(), DENSE(5)),
        _replace_extract(keras.Input((3,)), DENSE(3)),
    ],
    ids=["half", "empty", "missing", "half weights", "no weights", "image size", "features", "no image"],
)
def test_damaged_and_unsuitable_networks_are_converted_again(changes, classifier, project, tmp_path, caplog):
    def change(name, data):
        return next((edit(data) for suffix, edit in changes.items() if name.endswith(suffix)), data)

    damaged = without_tensorflow.rewrite(project / "models/cnn.keras", tmp_path / "m.keras", change)
    opened = session.open_session(damaged, inference="openvino")
    expected = session.from_classifier(classifier, inference="openvino")(_draw_pixels())
    np.testing.assert_array_equal(opened(_draw_pixels())[0], expected[0])
    assert "m.keras cannot be used" in caplog.text


def test_a_classifier_is_converted_once_for_its_session_and_its_file(classifier, tmp_path, monkeypatch):
    expected = session.from_classifier(classifier, inference="openvino")(_draw_pixels())
    convert = Mock(wraps=openvino_network.convert)
    monkeypatch.setattr(openvino_network, "convert", convert)
    assert inference_networks.add_networks(classifier, "tensorflow") is classifier
    with_networks = inference_networks.add_networks(classifier, "openvino")
    actual = session.from_classifier(with_networks, inference="openvino")(_draw_pixels())
    model_file.save(tmp_path / "m.keras", replace(with_networks, novelty=None))
    assert convert.call_count == len(inference_networks.PARTS)
    for actual_array, expected_array in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(actual_array, expected_array)


def test_a_model_that_openvino_cannot_convert_is_saved(classifier, tmp_path, monkeypatch, caplog):
    error = RuntimeError("no such operation\nfor line 2")
    monkeypatch.setattr(inference_networks, "convert", Mock(side_effect=error))
    model_file.save(tmp_path / "m.keras", classifier)
    assert "OpenVINO cannot convert it: no such operation" in caplog.text
    opened = session.open_session(tmp_path / "m.keras", inference="tensorflow")
    np.testing.assert_allclose(opened(_draw_pixels())[0], classifier.model.predict_on_batch(_draw_pixels()), atol=1e-5)


def test_auto_engine_is_openvino_if_tensorflow_is_not_installed(classifier, monkeypatch):
    extract = inference_networks.convert(classifier.model)["extract"]
    monkeypatch.setattr(inference_engine, "has_tensorflow", lambda: False)
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        assert inference_engine.resolve_engine("auto", policy) == "openvino"
        assert openvino_network.compile_network(extract, 4, policy)(_draw_pixels()).shape == (11, 2, 64)
