"""The table of applications equals the installed Keras; no test downloads weights."""

import inspect
import subprocess
import sys

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


@pytest.fixture
def keras_download(monkeypatch):
    """keras_download(constructor, image size): the file that Keras would download, and the number of features."""
    downloads = []

    def get_file(fname, origin, cache_subdir, file_hash=None):
        downloads.append({"file_name": fname, "url": origin, "digest": file_hash})
        return fname

    monkeypatch.setattr(file_utils, "get_file", get_file)
    monkeypatch.setattr(keras.Model, "load_weights", lambda model, path: None)

    def build(name, size):
        constructor = getattr(keras.applications, name)
        model = constructor(include_top=False, weights="imagenet", input_shape=(size, size, 3), pooling="avg")
        (download,) = downloads
        return download | {"features": model.output_shape[-1]}

    return build


def read_table_row(name):
    row = application(name)
    digest = row.checksum and row.checksum.partition(":")[2]
    return {"file_name": row.file_name, "url": row.url, "digest": digest, "features": row.features}


def test_every_constructor_of_keras_is_in_the_table():
    constructors = {name for name, member in inspect.getmembers(keras.applications) if inspect.isfunction(member)}
    assert set(KERAS_NAMES) == constructors
    assert set(APPLICATIONS) - constructors == {"EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"}


@pytest.mark.parametrize(
    "name", [name if name in FAST_NAMES else pytest.param(name, marks=pytest.mark.release) for name in KERAS_NAMES]
)
def test_weights_and_features_equal_keras(name, keras_download):
    assert read_table_row(name) == keras_download(name, application(name).min_size)
    keras.backend.clear_session()  # forty models need more memory than a small machine has


def test_checksums_name_their_algorithm():
    digits = {"md5": 32, "sha256": 64}
    checksums = [row.checksum for row in APPLICATIONS.values() if row.checksum is not None]
    assert {kind for kind, _, _ in (checksum.partition(":") for checksum in checksums)} == set(digits)
    assert all(len(digest) == digits[kind] for kind, _, digest in (checksum.partition(":") for checksum in checksums))
    assert [name for name, row in APPLICATIONS.items() if row.checksum is None] == ["MobileNet", "MobileNetV2"]


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_preprocessing_mode_equals_preprocess_input_of_the_module(name):
    row = application(name)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    prepared = getattr(keras.applications, row.module).preprocess_input(pixels.copy())
    if row.mode == "inside the model":
        expected = pixels
    else:
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
    with pytest.raises(
        UserError, match=r"Available: ConvNeXtBase, .*Xception, EfficientNetLite0, EfficientNetLite1, EfficientNetLite2"
    ):
        application("zzz")
    with pytest.raises(UserError, match="Did you mean EfficientNetLite"):
        application("efficientnet-lite1")


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("DenseNet121", False),
        ("lite2.keras", True),
        ("../lite2.keras", True),
        ("models/lite2", True),
        ("EffNet", False),
    ],
)
def test_is_file_distinguishes_paths_from_names(backbone, expected):
    assert is_file(backbone) is expected


def test_importing_the_table_does_not_import_tensorflow():
    code = "import sys, realwaste.models.applications; sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    environment = {"PYTHONPATH": "src"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
