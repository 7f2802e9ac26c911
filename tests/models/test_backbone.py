"""Frozen backbones: with random weights, weights from a file, and from a .keras feature extractor."""

import random
from functools import partial

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

from realwaste.core.errors import UserError
from realwaste.models.applications import application
from realwaste.models.feature_extractor import build, preprocessing_of


def draw_photos(size, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype="uint8")


def run(model, images):
    return np.asarray(keras.ops.convert_to_numpy(model(images)))


def have_same_weights(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def save_legacy_weights(model, path):
    """Weights only, in the legacy layout of the files at the URLs of the table."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def build_without_classifier(name, weights=None):
    return getattr(keras.applications, name)(include_top=False, weights=weights, input_shape=(64, 64, 3), pooling="avg")


@pytest.fixture(scope="module")
def mobilenet():
    return build("MobileNetV2", 96, None, seed=42)


@pytest.fixture
def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


# The model


def test_uint8_and_float_images_give_the_same_pooled_float32_vectors(mobilenet):
    images = draw_photos(96)
    assert mobilenet.input_shape == (None, 96, 96, 3)
    assert mobilenet.output_shape == (None, 1280)
    vectors = run(mobilenet, images)
    assert vectors.shape == (2, 1280)
    assert vectors.dtype == "float32"
    assert np.array_equal(vectors, run(mobilenet, images.astype("float32")))


def test_a_backbone_is_frozen_in_training_mode(mobilenet):
    assert mobilenet.trainable_weights == []
    images = draw_photos(96).astype("float32")
    vectors = np.asarray(mobilenet(images, training=True))
    assert np.array_equal(vectors, run(mobilenet, images))


def test_random_weights_depend_only_on_the_seed(mobilenet):
    random.seed(7)
    state = random.getstate()
    keras.layers.Dense(3).build((None, 5))
    random.setstate(state)
    rebuilt = build("MobileNetV2", 96, None, seed=42)
    assert random.getstate() == state
    assert have_same_weights(mobilenet, rebuilt)
    assert not have_same_weights(mobilenet, build("MobileNetV2", 96, None, seed=43))


LARGE = ["ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3"]
LARGE += ["MobileNet", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "Xception"]


@pytest.mark.parametrize(
    "backbone",
    ["MobileNetV2", "EfficientNetLite0", *(pytest.param(name, marks=pytest.mark.release) for name in LARGE)],
)
def test_a_backbone_is_saved_and_loaded_in_safe_mode(backbone, tmp_path):
    model = build(backbone, 96, None, seed=0)
    model.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras", safe_mode=True)
    assert np.array_equal(run(loaded, draw_photos(96)), run(model, draw_photos(96)))
    assert loaded.trainable_weights == []
    keras.backend.clear_session()


def test_bfloat16_gives_float32_vectors_close_to_float32(mobilenet, bfloat16):
    model = build("MobileNetV2", 96, None, seed=42)
    assert {layer.compute_dtype for layer in model.layers} >= {"bfloat16", "float32"}
    vectors, expected = run(model, draw_photos(96)), run(mobilenet, draw_photos(96))
    assert vectors.dtype == "float32"
    assert np.abs(vectors - expected).max() < 0.05 * np.abs(expected).max()


# Preprocessing


@pytest.mark.parametrize("backbone", ["InceptionResNetV2", "DenseNet121", "ResNet50", "EfficientNetV2B0"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_preprocessing_equals_keras(backbone, policy, monkeypatch, request):
    def identity_network(include_top, weights, input_shape, pooling):
        return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(dtype="float32")])

    if policy == "mixed_bfloat16":
        request.getfixturevalue("bfloat16")
    monkeypatch.setattr(keras.applications, backbone, identity_network)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 75, 75, 3)).astype("float32")
    preprocessed = run(build(backbone, 75, None, seed=0), pixels).reshape(pixels.shape)
    expected = getattr(keras.applications, application(backbone).module).preprocess_input(pixels.copy())
    np.testing.assert_allclose(preprocessed, expected, rtol=0, atol=1e-5)


def test_preprocessing_of_returns_a_short_description():
    assert preprocessing_of("DenseNet121") == "keras.applications.densenet.preprocess_input (torch)"
    assert preprocessing_of("VGG16") == "keras.applications.vgg16.preprocess_input (caffe)"
    assert preprocessing_of("EfficientNetB0") == "inside the model"
    assert preprocessing_of("any/extractor.keras") == "inside the model"
    with pytest.raises(UserError, match="DenseNet121"):
        preprocessing_of("DenseNet12")


# Weights from a file


@pytest.mark.parametrize(
    ("file_name", "save"),
    [
        (application("MobileNetV3Small").file_name, save_legacy_weights),
        ("mine.weights.h5", lambda model, path: model.save_weights(path)),
    ],
)
def test_weights_are_loaded_from_a_file(file_name, save, tmp_path):
    source = build_without_classifier("MobileNetV3Small")
    save(source, tmp_path / file_name)
    model = build("MobileNetV3Small", 64, tmp_path / file_name, seed=0)
    assert have_same_weights(source, model)
    assert np.array_equal(run(model, draw_photos(64)), np.asarray(source(draw_photos(64).astype("float32"))))


@pytest.mark.parametrize("file_name", ["efficientnetb0_notop.h5", "mine.h5"])
def test_efficientnet_scales_its_input_as_keras_does_with_imagenet_weights(file_name, tmp_path, monkeypatch):
    path = tmp_path / file_name
    with_imagenet = file_name == application("EfficientNetB0").file_name
    source = build_without_classifier("EfficientNetB0")
    normalization = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)])
    normalization.finalize_state()
    save_legacy_weights(source, path)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(path))
    images = draw_photos(64).astype("float32")
    unscaled = expected = np.asarray(source(images))
    if with_imagenet:
        expected = np.asarray(build_without_classifier("EfficientNetB0", "imagenet")(images))
        assert not np.allclose(unscaled, expected, rtol=1e-3, atol=1e-7)
    model = build("EfficientNetB0", 64, path, seed=0)
    np.testing.assert_allclose(run(model, draw_photos(64)), expected, rtol=1e-3, atol=1e-7)


def _save_other_network(path):
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    network.save_weights(path) if path.name.endswith(".weights.h5") else save_legacy_weights(network, path)


def _save_truncated(path):
    save_legacy_weights(build_without_classifier("MobileNetV3Small"), path)
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.parametrize(
    ("file_name", "save"),
    [
        ("some_notop.h5", _save_other_network),
        ("some.weights.h5", _save_other_network),
        ("top.h5", lambda path: save_legacy_weights(keras.applications.MobileNetV3Small(weights=None), path)),
        ("whole_notop.h5", _save_truncated),
        *((name, lambda path: path.write_text("not weights")) for name in ("text.h5", "text.weights.h5", "text.bin")),
        *((name, lambda path: None) for name in ("missing.h5", "missing.weights.h5")),
    ],
)
def test_weights_of_another_network_and_unreadable_files_are_refused(file_name, save, tmp_path):
    save(tmp_path / file_name)
    with pytest.raises(UserError, match=f"{file_name} must hold weights of MobileNetV3Small without its classifier"):
        build("MobileNetV3Small", 64, tmp_path / file_name, seed=0)


@pytest.mark.parametrize(("backbone", "size"), [("InceptionResNetV2", 75), ("EfficientNetLite1", 32)])
def test_an_image_size_below_the_minimum_is_refused(backbone, size):
    message = rf"{backbone} needs images of at least {size} pixels a side\. Received: {size - 1}"
    with pytest.raises(UserError, match=message):
        build(backbone, size - 1, None, seed=0)


# A .keras feature extractor


def save_extractor(path, *, shape=(None, None, 3), dtype="float32", pooled=True, preprocessing=None):
    image = keras.Input(shape, dtype=dtype)
    features = keras.layers.Rescaling(1 / 255)(image) if preprocessing is None else preprocessing(image)
    features = keras.layers.Conv2D(5, 3, bias_initializer="ones")(features)
    if pooled:
        features = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(image, features)
    model.save(path)
    return model


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("shape", [(None, None, 3), (32, 32, 3)])
def test_a_feature_extractor_file_gives_frozen_pooled_vectors(shape, pooled, dtype, tmp_path):
    path = tmp_path / "extractor.keras"
    source = save_extractor(path, shape=shape, dtype=dtype, pooled=pooled)
    model = build(str(path), 32, None, seed=0)
    expected = np.asarray(source(draw_photos(32)))
    expected = expected if pooled else expected.mean(axis=(1, 2))
    assert model.input_shape == (None, 32, 32, 3)
    assert model.trainable_weights == []
    np.testing.assert_allclose(run(model, draw_photos(32)), expected, rtol=1e-5)
    model.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras", safe_mode=True)
    assert np.array_equal(run(loaded, draw_photos(32)), run(model, draw_photos(32)))


def test_a_feature_extractor_with_a_weights_file_is_refused(tmp_path):
    save_extractor(tmp_path / "extractor.keras")
    with pytest.raises(UserError, match=r"extractor\.keras contains its weights"):
        build(str(tmp_path / "extractor.keras"), 32, tmp_path / "some.h5", seed=0)


def _save_with_input(shape, path):
    image = keras.Input(shape)
    keras.Model(image, keras.layers.Flatten()(image) if None not in shape else image).save(path)


def _save_two_inputs(path):
    inputs = [keras.Input((32, 32, 3)) for _ in range(2)]
    keras.Model(inputs, keras.layers.Add()(inputs)).save(path)


def _save_two_outputs(path):
    image = keras.Input((32, 32, 3))
    keras.Model(image, [keras.layers.Flatten()(image), keras.layers.ReLU()(image)]).save(path)


def _save_truncated_extractor(path):
    save_extractor(path)
    path.write_bytes(path.read_bytes()[:2000])


def _save_with_code(path):
    save_extractor(path, preprocessing=keras.layers.Lambda(lambda image: image / 255.0))


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (partial(_save_with_input, (48, 48, 3)), r"must take one RGB image of 32 by 32 pixels.*Received: \[\(None"),
        (partial(_save_with_input, (None, None, 1)), "must take one RGB image"),
        (partial(_save_with_input, (32, 3)), "must take one RGB image"),
        (_save_two_inputs, "must take one RGB image"),
        (_save_two_outputs, "must give one vector or one feature map"),
        (_save_with_code, "must be a Keras 3 model that loads in safe mode"),
        (lambda path: path.write_text("not a model"), "must be a Keras 3 model"),
        (_save_truncated_extractor, "must be a Keras 3 model"),
    ],
)
def test_an_unsuitable_feature_extractor_is_refused(save, message, tmp_path):
    save(tmp_path / "odd.keras")
    with pytest.raises(UserError, match=rf"odd\.keras {message}"):
        build(str(tmp_path / "odd.keras"), 32, None, seed=0)


@pytest.mark.parametrize("name", ["missing.keras", "missing.h5", "folder/missing"])
def test_a_missing_feature_extractor_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=r"must be an existing \.keras file"):
        build(str(tmp_path / name), 32, None, seed=0)
