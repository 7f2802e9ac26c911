"""Exported models give the outputs of Keras in the runtime of each format, and contain their metadata."""

import errno
import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace
from functools import partial
from unittest.mock import Mock

import cv2
import keras
import lively
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx
from ai_edge_litert.interpreter import Interpreter
from conftest import picture

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from realwaste.images.reader import read_image
from realwaste.models import export, export_target, model_file, novelty, session, test_time_augmentation
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.models.probabilities import apply_temperature
from realwaste.training import head

FORMATS: tuple[export.Format, ...] = ("onnx", "litert", "saved_model")
CLASSES = ("Cardboard", "Früchte", "Glass")


def run_export(kind, path, pixels, output="probabilities"):
    if kind == "onnx":
        return onnxruntime.InferenceSession(path).run([output], {"image": pixels})[0]
    if kind == "litert":
        return Interpreter(str(path)).get_signature_runner()(image=pixels)[output]
    return tf.saved_model.load(path).signatures["serving_default"](image=tf.constant(pixels))[output].numpy()


def read_metadata(kind, path):
    if kind == "onnx":
        metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        return metadata | {
            key: json.loads(metadata[key]) for key in ("classes", "image_size", "temperature", "batch_size")
        }
    if kind == "litert":
        return json.loads(zipfile.ZipFile(path).read("realwaste.json"))
    return json.loads((path / "realwaste.json").read_text(encoding="utf-8"))


def draw_pictures(classifier, count=3):
    side = classifier.metadata.image_size
    return np.stack([picture(seed, side, side) for seed in range(count)]).astype(classifier.model.inputs[0].dtype)


build_cnn = partial(lively.cnn_classifier, 32, CLASSES, origin="synthetic")


def build_mirrored_cnn():
    plain = build_cnn()
    return replace(plain, model=test_time_augmentation.average_views(plain.model, "both", "middle"))


def build_backbone_with_head(name, image_size):
    keras.utils.set_random_seed(3)
    extractor = lively.extractor(name, image_size)
    metadata = ModelMetadata("densenet", CLASSES, image_size, "photographs", name, "random")
    return Classifier(head.join(extractor, lively.head_of(extractor, 3)), metadata)


# The mirrored CNN is also exported below, with its novelty detection. VGG16 has constants in its preprocessing, like
# DenseNet.
LARGE = [build_mirrored_cnn, partial(build_backbone_with_head, "VGG16", 32)]
LARGE += [partial(build_backbone_with_head, name, 64) for name in ("EfficientNetLite0", "MobileNetV2")]


@pytest.fixture(
    scope="module", params=[build_cnn, *(pytest.param(build, marks=pytest.mark.release) for build in LARGE)]
)
def classifier(request, tmp_path_factory):
    """A classifier that was saved and loaded."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    keras.utils.set_random_seed(3)
    model_file.save(path, request.param())
    return model_file.load(path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small CNN, and copy_export(kind, target), which copies an export of it. Each format is exported once."""
    classifier, folder, exports = build_cnn(), tmp_path_factory.mktemp("exported"), {}

    def copy_export(kind, target):
        if kind not in exports:
            exports[kind] = export.export(classifier, kind, folder / export.default_target("x", kind).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if exports[kind].is_dir() else shutil.copyfile)(exports[kind], target)
        return target

    return classifier, copy_export


def check_outputs(classifier, kind, folder):
    pixels = draw_pictures(classifier)
    expected = classifier.model.predict_on_batch(pixels)
    assert np.ptp(expected, axis=0).max() > 0.02, "equal probabilities would prove nothing"
    path = export.export(classifier, kind, folder / export.default_target("model", kind).name)
    assert [file.name for file in folder.iterdir()] == [path.name]
    for count in (1, 3):
        assert run_export(kind, path, pixels[:count]) == pytest.approx(expected[:count], abs=1e-4)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_applies_the_temperature_and_a_raw_export_does_not(kind, tmp_path):
    keras.utils.set_random_seed(3)
    classifier = build_cnn(temperature=2.5)
    pixels = draw_pictures(classifier)
    raw = classifier.model.predict_on_batch(pixels)
    for folder, expected, temperatures in (("a", apply_temperature(raw, 2.5), (1.0, 2.5)), ("raw", raw, (2.5, 1.0))):
        target = tmp_path / folder / export.default_target("x", kind).name
        path = export.export(classifier, kind, target, raw=folder == "raw")
        assert run_export(kind, path, pixels) == pytest.approx(expected, abs=1e-4)
        metadata = read_metadata(kind, path)
        assert (metadata["temperature"], float(metadata["applied_temperature"])) == temperatures
    assert np.abs(apply_temperature(raw, 2.5) - raw).max() > 0.02


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_gives_the_outputs_of_keras(classifier, kind, tmp_path, capfd, recwarn):
    folder = tmp_path / "deep/in"
    check_outputs(classifier, kind, folder)
    assert "deprecated" not in capfd.readouterr().err
    assert list(recwarn) == []
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.release
@pytest.mark.parametrize("name", ["DenseNet121", "InceptionResNetV2"])
def test_backbones_of_the_report_are_exported_at_its_image_size(name, tmp_path):
    classifier = build_backbone_with_head(name, 524)
    for kind in FORMATS:
        check_outputs(classifier, kind, tmp_path / kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_contains_the_metadata(kind, exported, tmp_path):
    classifier, copy_export = exported
    path = copy_export(kind, tmp_path / export.default_target("x", kind).name)
    metadata = read_metadata(kind, path)
    assert float(metadata.pop("applied_temperature")) == 1
    assert metadata == asdict(classifier.metadata) | {
        "classes": list(CLASSES),
        "input": "RGB, 0 to 255, uint8 (batch, 32, 32, 3)",
        "caution": classifier.metadata.caution(),
    }


def add_novelty(classifier):
    """The classifier with novelty detection, fitted on its test images."""
    _, features = session.from_classifier(classifier)(draw_pictures(classifier, 9).astype(np.uint8))
    fitted = novelty.fit(features[:6], features[6:])
    assert fitted is not None
    return replace(classifier, novelty=fitted)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("build", [build_mirrored_cnn, pytest.param(LARGE[-1], marks=pytest.mark.release)])
def test_novelty_scores_are_exported(build, kind, tmp_path):
    keras.utils.set_random_seed(3)
    classifier = add_novelty(build())
    pixels = np.stack([*draw_pictures(classifier, 2), np.zeros_like(draw_pictures(classifier, 1)[0])])
    probabilities, features = session.from_classifier(classifier)(pixels.astype(np.uint8))
    path = export.export(classifier, kind, tmp_path / export.default_target("x", kind).name)
    scores = run_export(kind, path, pixels, "strangeness")
    assert scores == pytest.approx(classifier.novelty.scores(features), abs=2e-3)
    assert run_export(kind, path, pixels) == pytest.approx(probabilities, abs=1e-4)
    metadata = read_metadata(kind, path)
    assert float(metadata["strangeness_threshold"]) == pytest.approx(classifier.novelty.threshold)
    assert metadata["above_threshold"] == novelty.UNLIKE


@pytest.mark.parametrize("kind", FORMATS)
def test_the_enlarged_middle_crop_is_exported_without_losing_a_pixel(kind, tmp_path):
    """At this size, and at 260 pixels, the resize operation of ONNX would lose one pixel."""
    keras.utils.set_random_seed(3)
    side = 117
    image = keras.Input((side, side, 3), dtype="float32", name="image")
    pooled = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(8, 3)(keras.layers.Rescaling(1 / 25)(image)))
    plain = head.join(keras.Model(image, pooled, name="backbone"), head.build(8, 8, 3))
    metadata = ModelMetadata("irv2", CLASSES, side, "photographs", "small", "random")
    mirrored = test_time_augmentation.average_views(plain, "horizontal", "middle")
    check_outputs(Classifier(mirrored, metadata), kind, tmp_path)


def test_exporting_a_model_tested_in_low_precision_logs_the_difference(tmp_path, caplog):
    float32, bfloat16 = build_cnn(), build_cnn(precision="mixed_bfloat16")
    caplog.set_level("INFO", logger="realwaste")
    for classifier in (float32, bfloat16):
        path = export.export(classifier, "saved_model", tmp_path / "x")
    assert read_metadata("saved_model", path)["precision"] == "mixed_bfloat16"
    (line,) = [line for line in caplog.messages if "exported" in line]
    assert line.startswith("tested in mixed_bfloat16, exported in float32: probabilities ")
    noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    difference = np.abs(run_export("saved_model", path, noise) - session.from_classifier(bfloat16)(noise)[0]).max()
    assert float(line.split()[-1]) == pytest.approx(difference, rel=0.1)
    assert difference > 1e-5


def test_an_onnx_export_has_named_tensors_and_a_variable_batch_size(exported, tmp_path):
    session = onnxruntime.InferenceSession(exported[1]("onnx", tmp_path / "x.onnx"))
    tensors = [(tensor.name, tensor.type, tensor.shape) for tensor in (*session.get_inputs(), *session.get_outputs())]
    assert tensors == [
        ("image", "tensor(uint8)", ["batch", 32, 32, 3]),
        ("probabilities", "tensor(float)", ["batch", 3]),
    ]


def test_large_kernels_bypass_the_converter(tmp_path, monkeypatch):
    """tf2onnx copies its input dozens of times: 9.5 GB and 45 s for the report's CNN."""
    keras.utils.set_random_seed(3)
    classifier = lively.cnn_classifier(64, CLASSES)
    model = classifier.model
    # With random weights the probabilities would be nearly equal, so the last layer is centred and scaled.
    features = keras.Model(model.inputs, model.layers[-2].output).predict_on_batch(draw_pictures(classifier))
    kernel = 20 * model.layers[-1].get_weights()[0]
    model.layers[-1].set_weights([kernel, -features.mean(axis=0) @ kernel])
    sizes, convert = [], tf2onnx.convert.from_graph_def

    def record_size(graph_def, **options):
        sizes.append(graph_def.ByteSize())
        return convert(graph_def, **options)

    monkeypatch.setattr(tf2onnx.convert, "from_graph_def", record_size)
    path = check_outputs(classifier, "onnx", tmp_path)
    assert sizes[0] < 500_000
    assert [tensor.name for tensor in onnxruntime.InferenceSession(path).get_inputs()] == ["image"]
    assert path.stat().st_size > 8_000_000


def test_the_documented_programs_run(exported, tmp_path):
    """Each runs in a separate process, without this package and without Keras."""
    classifier, copy_export = exported
    for kind in FORMATS:
        copy_export(kind, tmp_path / export.default_target("cnn", kind))
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture(1, 50, 70))
    export_code, *programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text("utf-8"), re.DOTALL)
    assert len(programs) == len(FORMATS)
    small = export_code.replace("256", "32")
    subprocess.run([sys.executable, "-c", small], cwd=tmp_path, check=True)
    expected = classifier.model.predict_on_batch(read_image(tmp_path / "photo.jpg", 32)[np.newaxis])
    for program in programs:
        code = f"import sys\nsys.modules['keras'] = sys.modules['realwaste'] = None\n{program}"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        numbers, _, names = done.stdout.rpartition(" [")
        probabilities = np.array(re.findall(r"\d\.\d+(?:e-\d+)?", numbers), dtype=float).reshape(expected.shape)
        assert probabilities == pytest.approx(expected, abs=1e-4)
        assert "'Früchte'" in names
    (latency,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/deploy.md").read_text("utf-8"), re.DOTALL)
    command = [sys.executable, "-c", latency, "models/cnn.tflite", "photo.jpg"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"network only: [\d.]+ ms .*\nfrom a photo's file: [\d.]+ ms .*\n", done.stdout), done.stderr


@pytest.mark.parametrize(("kind", "package"), [("onnx", "tf2onnx"), ("onnx", "onnx"), ("litert", "ai_edge_litert")])
def test_a_missing_package_is_named_with_its_remedy(kind, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    remedy = r"Run `make setup-dev`, or pip install '\.\[export\]', in the checkout\.$"
    with pytest.raises(UserError, match=rf"no {package}[^\n]*\n{remedy}"):
        export.export(build_cnn(), kind, tmp_path / export.default_target("x", kind).name)
    assert list(tmp_path.iterdir()) == []


def test_an_export_with_wrong_outputs_does_not_replace_the_target(exported, tmp_path, monkeypatch):
    target = exported[1]("saved_model", tmp_path / "existing")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    other_weights, write = build_cnn().model, keras.Model.export

    def write_another(model, *arguments, **options):
        other_model = keras.Model(other_weights.inputs, {"probabilities": other_weights.outputs[0]})
        return write(other_model, *arguments, **options)

    monkeypatch.setattr(keras.Model, "export", write_another)
    with pytest.raises(UserError, match=r"outputs of Keras to within 0\.001\. Received: 'a difference of"):
        export.export(build_cnn(), "saved_model", target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["existing"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "part-00000.tempstate1; No space left on device [Op:SaveV2]"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=["TensorFlow", "others"],
)
def test_a_full_disk_is_reported_and_leaves_no_file(error, kind, tmp_path, monkeypatch):
    """TensorFlow raises the same error for a full disk as for too little memory; others raise OSError."""
    monkeypatch.setattr(keras.Model, "export", Mock(side_effect=error))
    monkeypatch.setattr(tf2onnx.convert, "from_graph_def", Mock(side_effect=error))
    target = tmp_path / export.default_target("x", kind).name
    with pytest.raises(OSError, match="No space left on device") as raised:
        export.export(build_cnn(), kind, target)
    assert raised.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []


def test_an_unsupported_layer_raises_a_two_line_error(tmp_path, capfd):
    """tf2onnx does not support the error function, which GELU, and so ConvNeXt, uses."""
    layers = [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "gelu"), keras.layers.Softmax()]
    classifier = Classifier(keras.Sequential(layers), build_cnn().metadata)
    with pytest.raises(UserError, match=r"^The ONNX export must run.*No Op registered for Erfc.*\nUse another format"):
        export.export(classifier, "onnx", tmp_path / "x.onnx")
    assert "not supported" not in "".join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []
    export.export(classifier, "litert", tmp_path / "x.tflite")


def test_an_earlier_export_is_replaced(exported, tmp_path):
    for kind in ("litert", "saved_model"):  # a file and a folder
        target = exported[1](kind, tmp_path / export.default_target("x", kind).name)
        classifier = build_cnn()
        export.export(classifier, kind, target)
        pixels = draw_pictures(classifier)
        assert run_export(kind, target, pixels) == pytest.approx(classifier.model.predict_on_batch(pixels), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("onnx", "x.tflite", r"ends in \.onnx"),
        ("litert", "x", r"ends in \.tflite"),
        ("onnx", "folder.onnx", r"must be a file"),
        ("saved_model", "photos", r"new folder, or replace an earlier export"),
        ("saved_model", "note.txt", r"new folder, or replace an earlier export"),
    ],
)
def test_only_an_earlier_export_is_replaced(kind, name, message, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "photos").mkdir()
    user_files = [tmp_path / "photos/a.jpg", tmp_path / "note.txt"]
    for file in user_files:
        file.write_text("mine")
    with pytest.raises(UserError, match=message):
        export.export(build_cnn(), kind, tmp_path / name)
    assert [file.read_text() for file in user_files] == ["mine", "mine"]


def _write_saved_model(folder):
    variables = ("variables/variables.index", "variables/variables.data-00000-of-00001")
    for name in ("saved_model.pb", "fingerprint.pb", *variables):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "assets").mkdir()
    record = {"classes": [], "image_size": 8, "temperature": 1.0, "input": "RGB"}
    (folder / "realwaste.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    "user_file", [None, "a.jpg", "assets/a.txt", "variables/a.jpg", "deep/a.jpg", "realwaste.json"]
)
def test_a_folder_with_a_foreign_file_is_not_replaced(user_file, tmp_path):
    folder = _write_saved_model(tmp_path / "model")
    if user_file:
        (folder / user_file).parent.mkdir(exist_ok=True)
        (folder / user_file).write_text("mine")
    assert export_target.is_saved_model(folder) == (user_file is None)
    (tmp_path / "link").symlink_to(folder)
    assert not export_target.is_saved_model(tmp_path / "link")
