"""Exported models answer as Keras does, by each format's own runtime, and carry what their numbers mean."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

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
from realwaste.models import cnn, export, model_file, novelty, session, test_time_augmentation
from realwaste.models.model_file import Classifier, Facts
from realwaste.training import head

FORMATS: tuple[export.Format, ...] = ("onnx", "litert", "saved_model")
CLASSES = ("Cardboard", "Früchte", "Glass")
# The path of efficientnet_lite2.keras, a pretrained extractor that the project does not bring along.
EXTRACTOR = Path(os.environ.get("REALWASTE_EXTRACTOR", "none"))


def answer(kind, path, pixels, output="probabilities"):
    if kind == "onnx":
        return onnxruntime.InferenceSession(path).run([output], {"image": pixels})[0]
    if kind == "litert":
        return Interpreter(str(path)).get_signature_runner()(image=pixels)[output]
    return tf.saved_model.load(path).signatures["serving_default"](image=tf.constant(pixels))[output].numpy()


def about(kind, path):
    if kind == "onnx":
        kept = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        return kept | {key: json.loads(kept[key]) for key in ("classes", "image_size", "temperature", "batch_size")}
    if kind == "litert":
        return json.loads(zipfile.ZipFile(path).read("realwaste.json"))
    return json.loads((path / "realwaste.json").read_text(encoding="utf-8"))


def pictures(classifier, count=3):
    side = classifier.facts.image_size
    return np.stack([picture(seed, side, side) for seed in range(count)]).astype(classifier.model.inputs[0].dtype)


def small_cnn():
    model = cnn.build(32, 3, batch_norm_momentum=0.9)
    return Classifier(model, Facts("cnn", CLASSES, 32, "synthetic", cnn.BACKBONE, cnn.WEIGHTS, origin="synthetic"))


def mirrored_cnn():
    plain = small_cnn()
    return Classifier(test_time_augmentation.average_views(plain.model, "both", "middle"), plain.facts)


def joined(name, image_size, weights="random"):
    keras.utils.set_random_seed(3)
    extractor = lively.extractor(str(name), image_size, weights)
    facts = Facts("densenet", CLASSES, image_size, "photographs", Path(name).name, weights)
    return Classifier(head.join(extractor, lively.head_of(extractor, 3)), facts)


MODELS: dict[str, Callable[[], Classifier]] = {
    "cnn": small_cnn,
    "mirrored cnn": mirrored_cnn,
    "MobileNetV2": partial(joined, "MobileNetV2", 64),
    "VGG16": partial(joined, "VGG16", 32),  # whose preprocessing, as DenseNet's, brings constants of its own
}


@pytest.fixture(
    scope="module",
    params=[
        "cnn",
        "mirrored cnn",
        *(pytest.param(name, marks=pytest.mark.release) for name in ("MobileNetV2", "VGG16")),
    ],
)
def classifier(request, tmp_path_factory):
    """As the command has it: saved and loaded."""
    path = tmp_path_factory.mktemp("kept") / "model.keras"
    keras.utils.set_random_seed(3)
    model_file.save(path, MODELS[request.param]())
    return model_file.load(path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small CNN, and a function that puts an export of it at a path: it is exported once a format."""
    classifier, folder, made = small_cnn(), tmp_path_factory.mktemp("exported"), {}

    def put(kind, target):
        if kind not in made:
            made[kind] = export.export(classifier, kind, folder / export.default_target("x", kind).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if made[kind].is_dir() else shutil.copyfile)(made[kind], target)
        return target

    return classifier, put


def check(classifier, kind, folder):
    pixels = pictures(classifier)
    expected = classifier.model.predict_on_batch(pixels)
    assert np.ptp(expected, axis=0).max() > 0.02, "answers that are all alike prove nothing"
    path = export.export(classifier, kind, folder / export.default_target("model", kind).name)
    assert [found.name for found in folder.iterdir()] == [path.name]
    for count in (1, 3):
        found = answer(kind, path, pixels[:count])
        assert found == pytest.approx(expected[:count], abs=1e-4)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_answers_as_keras_does(classifier, kind, tmp_path, capfd, recwarn):
    folder = tmp_path / "deep/in"
    check(classifier, kind, folder)
    assert "deprecated" not in capfd.readouterr().err
    assert list(recwarn) == []
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.skipif(not EXTRACTOR.is_file(), reason="REALWASTE_EXTRACTOR names no file")
def test_a_pretrained_extractor(kind, tmp_path):
    check(joined(EXTRACTOR, 260, "pretrained"), kind, tmp_path)


@pytest.mark.release
@pytest.mark.parametrize("name", ["DenseNet121", "InceptionResNetV2"])
def test_the_reports_backbones_at_their_size(name, tmp_path):
    classifier = joined(name, 524)
    for kind in FORMATS:
        check(classifier, kind, tmp_path / kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_the_numbers_mean_is_inside(kind, exported, tmp_path):
    classifier, put = exported
    path = put(kind, tmp_path / export.default_target("x", kind).name)
    assert about(kind, path) == asdict(classifier.facts) | {
        "classes": list(CLASSES),
        "input": "RGB, 0 to 255, uint8 (batch, 32, 32, 3)",
        "caution": classifier.facts.caution(),
    }


def known(classifier):
    """The classifier with a measure of strangeness, by pictures of noise."""
    _, given = session.from_classifier(classifier)(pictures(classifier, 9).astype(np.uint8))
    fitted = novelty.fit(given[:6], given[6:])
    assert fitted is not None
    return replace(classifier, novelty=fitted)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "build", [mirrored_cnn, pytest.param(partial(joined, "MobileNetV2", 64), marks=pytest.mark.release)]
)
def test_how_strange_a_picture_is_comes_with_the_answer(build, kind, tmp_path):
    keras.utils.set_random_seed(3)
    classifier = known(build())
    pixels = np.stack([*pictures(classifier, 2), np.zeros_like(pictures(classifier, 1)[0])])
    probabilities, features = session.from_classifier(classifier)(pixels.astype(np.uint8))
    path = export.export(classifier, kind, tmp_path / export.default_target("x", kind).name)
    strange = answer(kind, path, pixels, "strangeness")
    assert strange == pytest.approx(classifier.novelty.scores(features), abs=2e-3)
    assert answer(kind, path, pixels) == pytest.approx(probabilities, abs=1e-4)
    told = about(kind, path)
    assert float(told["strangeness_threshold"]) == pytest.approx(classifier.novelty.threshold)
    assert told["above_threshold"] == novelty.UNLIKE


@pytest.mark.parametrize("kind", FORMATS)
def test_the_middle_has_all_its_pixels_in_every_format(kind, tmp_path):
    """With this many pixels a side, and with 260, ONNX' own resizing makes one less."""
    keras.utils.set_random_seed(3)
    side = 117
    image = keras.Input((side, side, 3), dtype="float32", name="image")
    pooled = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(8, 3)(keras.layers.Rescaling(1 / 25)(image)))
    plain = head.join(keras.Model(image, pooled, name="backbone"), head.build(8, 8, 3))
    facts = Facts("irv2", CLASSES, side, "photographs", "small", "random")
    check(Classifier(test_time_augmentation.average_views(plain, "horizontal", "middle"), facts), kind, tmp_path)


def test_what_was_tested_in_low_precision_is_said_to_be_exported_in_float32(tmp_path, caplog):
    tested = small_cnn()
    low = replace(tested, facts=replace(tested.facts, precision="mixed_bfloat16"))
    caplog.set_level("INFO", logger="realwaste")
    for classifier in (tested, low):
        path = export.export(classifier, "saved_model", tmp_path / "x")
    assert about("saved_model", path)["precision"] == "mixed_bfloat16"
    (line,) = [line for line in caplog.messages if "exported" in line]
    assert line.startswith("tested in mixed_bfloat16, exported in float32: probabilities ")
    noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    apart = np.abs(answer("saved_model", path, noise) - session.from_classifier(low)(noise)[0]).max()
    assert float(line.split()[-1]) == pytest.approx(apart, rel=0.1)
    assert apart > 1e-5


def test_names_types_and_free_batch_of_onnx(exported, tmp_path):
    session = onnxruntime.InferenceSession(exported[1]("onnx", tmp_path / "x.onnx"))
    ends = [(end.name, end.type, end.shape) for end in (*session.get_inputs(), *session.get_outputs())]
    assert ends == [
        ("image", "tensor(uint8)", ["batch", 32, 32, 3]),
        ("probabilities", "tensor(float)", ["batch", 3]),
    ]


def test_large_kernels_pass_by_the_converter_and_are_in_the_file(tmp_path, monkeypatch):
    """tf2onnx copies what it is given dozens of times: 9.5 GB and 45 s for the report's CNN."""
    keras.utils.set_random_seed(3)
    model = cnn.build(64, 3, batch_norm_momentum=0.9)
    classifier = Classifier(model, replace(small_cnn().facts, image_size=64))
    # Around the pictures' mean, and steep: as drawn, the answers are nearly alike.
    features = keras.Model(model.inputs, model.layers[-2].output).predict_on_batch(pictures(classifier))
    kernel = 20 * model.layers[-1].get_weights()[0]
    model.layers[-1].set_weights([kernel, -features.mean(axis=0) @ kernel])
    sizes, convert = [], tf2onnx.convert.from_graph_def

    def noted(graph_def, **named):
        sizes.append(graph_def.ByteSize())
        return convert(graph_def, **named)

    monkeypatch.setattr(tf2onnx.convert, "from_graph_def", noted)
    path = check(classifier, "onnx", tmp_path)
    assert sizes[0] < 500_000
    assert [end.name for end in onnxruntime.InferenceSession(path).get_inputs()] == ["image"]
    assert path.stat().st_size > 8_000_000


def test_the_documented_programs_run(exported, tmp_path):
    """Each in a process of its own, without this package and without Keras."""
    classifier, put = exported
    for kind in FORMATS:
        put(kind, tmp_path / export.default_target("cnn", kind))
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture(1, 50, 70))
    making, *programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text("utf-8"), re.DOTALL)
    assert len(programs) == len(FORMATS)
    made = making.replace("256", "32")
    subprocess.run([sys.executable, "-c", made], cwd=tmp_path, check=True)
    expected = classifier.model.predict_on_batch(read_image(tmp_path / "photo.jpg", 32)[np.newaxis])
    for program in programs:
        code = f"import sys\nsys.modules['keras'] = sys.modules['realwaste'] = None\n{program}"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        numbers, _, names = done.stdout.rpartition(" [")
        found = np.array(re.findall(r"\d\.\d+(?:e-\d+)?", numbers), dtype=float).reshape(expected.shape)
        assert found == pytest.approx(expected, abs=1e-4)
        assert "'Früchte'" in names
    (latency,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/deploy.md").read_text("utf-8"), re.DOTALL)
    ask = [sys.executable, "-c", latency, "models/cnn.tflite", "photo.jpg"]
    done = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"network only: [\d.]+ ms .*\nfrom a photo's file: [\d.]+ ms .*\n", done.stdout), (
        done.stderr
    )


@pytest.mark.parametrize(("kind", "package"), [("onnx", "tf2onnx"), ("onnx", "onnx"), ("litert", "ai_edge_litert")])
def test_a_missing_package_is_named_with_its_remedy(kind, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        UserError, match=rf"no {package}[^\n]*\nRun `make setup-dev`, or pip install '\.\[export\]', in the checkout\.$"
    ):
        export.export(small_cnn(), kind, tmp_path / export.default_target("x", kind).name)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_answers_otherwise_never_takes_its_place(exported, tmp_path, monkeypatch):
    target = exported[1]("saved_model", tmp_path / "kept")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    another = small_cnn()  # other weights
    write = keras.Model.export

    def write_another(model, *arguments, **named):
        return write(
            keras.Model(another.model.inputs, {"probabilities": another.model.outputs[0]}), *arguments, **named
        )

    monkeypatch.setattr(keras.Model, "export", write_another)
    with pytest.raises(UserError, match=r"outputs to within 0\.001\. Received: 'a difference of"):
        export.export(small_cnn(), "saved_model", target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_is_named_as_such_and_leaves_nothing(kind, tmp_path, monkeypatch):
    """TensorFlow has an error of its own for it, as for too little memory; others are Python's."""
    text = "part-00000-of-00001.tempstate1; No space left on device [Op:SaveV2]"
    errors = [tf.errors.ResourceExhaustedError(None, None, text), OSError(errno.ENOSPC, "No space left on device")]
    for error in errors:

        def full(*_, error=error, **__):
            raise error

        monkeypatch.setattr(keras.Model, "export", full)
        monkeypatch.setattr(tf2onnx.convert, "from_graph_def", full)
        target = tmp_path / export.default_target("x", kind).name
        with pytest.raises(OSError, match="No space left on device") as raised:
            export.export(small_cnn(), kind, target)
        assert raised.value.filename == str(target)
        assert list(tmp_path.iterdir()) == []


def test_what_a_format_cannot_do_is_said_in_two_lines(tmp_path, capfd):
    """tf2onnx has nothing for the error function that GELU, and so ConvNeXt, is made of."""
    layers = [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "gelu"), keras.layers.Softmax()]
    classifier = Classifier(keras.Sequential(layers), small_cnn().facts)
    with pytest.raises(
        UserError, match=r"^As ONNX the model must run.*No Op registered for Erfc.*\nUse another format"
    ):
        export.export(classifier, "onnx", tmp_path / "x.onnx")
    assert "not supported" not in "".join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []
    export.export(classifier, "litert", tmp_path / "x.tflite")


def test_an_earlier_export_is_replaced(exported, tmp_path):
    for kind in FORMATS:
        target = exported[1](kind, tmp_path / export.default_target("x", kind).name)
        classifier = small_cnn()
        export.export(classifier, kind, target)
        pixels = pictures(classifier)
        assert answer(kind, target, pixels) == pytest.approx(classifier.model.predict_on_batch(pixels), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("onnx", "x.tflite", r"ends in \.onnx"),
        ("litert", "x", r"ends in \.tflite"),
        ("onnx", "folder.onnx", r"must be a file"),
        ("saved_model", "photos", r"new folder or take the place"),
        ("saved_model", "note.txt", r"new folder or take the place"),
    ],
)
def test_nothing_else_is_overwritten(kind, name, said, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"mine")
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UserError, match=said):
        export.export(small_cnn(), kind, tmp_path / name)
    assert (tmp_path / "photos/a.jpg").read_bytes() == b"mine"
    assert (tmp_path / "note.txt").read_text() == "mine"
