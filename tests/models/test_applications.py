"""The table of applications equals the installed Keras; no test downloads weights."""

import inspect

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from realwaste.core.errors import UserError
from realwaste.models.applications import APPLICATIONS, application, is_file

FAST_NAMES = ("InceptionResNetV2", "DenseNet121", "MobileNetV2")
KERAS_NAMES = [name for name, row in APPLICATIONS.items() if not row.requirement]

# MobileNets warn that they have no weights for this size and load those for 224 pixels.
pytestmark = pytest.mark.filterwarnings("ignore:`input_shape` is undefined:UserWarning")


def test_every_constructor_of_keras_is_in_the_table():
    constructors = {name for name, member in inspect.getmembers(keras.applications) if inspect.isfunction(member)}
    assert set(KERAS_NAMES) == constructors
    assert set(APPLICATIONS) - constructors == {"EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"}


@pytest.mark.parametrize(
    "name", [name if name in FAST_NAMES else pytest.param(name, marks=pytest.mark.release) for name in KERAS_NAMES]
)
def test_weights_and_features_equal_keras(name, monkeypatch):
    row, downloads = application(name), []

    def record_download(fname, origin, cache_subdir, file_hash=None):
        downloads.append((fname, origin, file_hash))
        return fname

    monkeypatch.setattr(file_utils, "get_file", record_download)
    monkeypatch.setattr(keras.Model, "load_weights", lambda model, path: None)
    shape = (row.min_size, row.min_size, 3)
    model = getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=shape, pooling="avg")
    assert downloads == [(row.file_name, row.url, row.checksum and row.checksum.partition(":")[2])]
    assert model.output_shape == (None, row.features)
    keras.backend.clear_session()  # forty models need more memory than a small machine has


def test_checksums_name_their_algorithm():
    checksums = [row.checksum.split(":") for row in APPLICATIONS.values() if row.checksum is not None]
    assert {(kind, len(digest)) for kind, digest in checksums} == {("md5", 32), ("sha256", 64)}
    assert [name for name, row in APPLICATIONS.items() if row.checksum is None] == ["MobileNet", "MobileNetV2"]


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_preprocessing_mode_equals_preprocess_input_of_the_module(name):
    row = application(name)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    prepared = getattr(keras.applications, row.module).preprocess_input(pixels.copy())
    expected = pixels
    if row.mode != "inside the model":
        expected = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode=row.mode)
    np.testing.assert_array_equal(prepared, expected)


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_keras_rejects_a_smaller_image(name):
    row = application(name)
    side = row.min_size - 1
    with pytest.raises(ValueError, match=f"at least {row.min_size}x{row.min_size}"):
        getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(side, side, 3))


def test_an_unknown_name_is_refused_with_suggestions():
    with pytest.raises(UserError, match=r"'Densenet121'[^$]*Did you mean DenseNet121"):
        application("Densenet121")
    with pytest.raises(UserError, match=r"Available: ConvNeXtBase, .*Xception, EfficientNetLite0, .*EfficientNetLite2"):
        application("zzz")
    with pytest.raises(UserError, match="Did you mean EfficientNetLite"):
        application("efficientnet-lite1")


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [("DenseNet121", False), ("EffNet", False), ("a.keras", True), ("../a.keras", True), ("models/a", True)],
)
def test_is_file_distinguishes_paths_from_names(backbone, expected):
    assert is_file(backbone) is expected
