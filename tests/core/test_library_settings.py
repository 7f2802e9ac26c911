"""The user's settings of Keras, TensorFlow and Matplotlib change no training, no prediction and no figure."""

import gc
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import pandas as pd
import pytest

from benchmarks.parts.child import ROOT
from realwaste.core import library_settings
from realwaste.core.errors import UserError
from realwaste.report import figures

TRAINING_SCRIPT = """
import {entry}
from realwaste.core import library_settings
with library_settings.importing_tensorflow():
    import keras
import numpy as np

keras.utils.set_random_seed(1)
network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
                            keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")])
network.compile("adam", "sparse_categorical_crossentropy")
images = np.random.default_rng(1).random((20, 8, 8, 3))
history = network.fit(images, np.arange(20) % 2, batch_size=5, epochs=3, verbose=0).history
print(history["loss"], network.predict(images[:2], verbose=0).tolist(), network.dtype_policy.name)
"""
VARIABLES = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERAS_NNX_ENABLED": "true",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
}


def _train_network(home, entry, **variables):
    """Train a small network in another process, after `import entry`; its losses, predictions and dtype policy."""
    environment = {name: value for name, value in os.environ.items() if name not in {"KERAS_HOME", "KERAS_BACKEND"}}
    environment |= {"HOME": str(home), "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **variables}
    command = [sys.executable, "-c", TRAINING_SCRIPT.format(entry=entry)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_keras_settings_of_the_user_do_not_change_a_training(tmp_path):
    default_output = _train_network(tmp_path, "realwaste")
    settings = {"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "jax"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(json.dumps(settings))
    assert _train_network(tmp_path, "benchmarks", KERAS_HOME=str(tmp_path / ".keras"), **VARIABLES) == default_output


def test_pin_refuses_keras_if_it_was_imported_with_other_settings(monkeypatch):
    settings = {"backend": "tensorflow", "floatx": "float64", "image_data_format": "channels_last", "epsilon": 1e-7}
    config = SimpleNamespace(**{name: lambda value=value: value for name, value in settings.items()})
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(config=config))
    with pytest.raises(UserError, match="in float32 and channels_last"):
        library_settings.pin()


def test_matplotlib_settings_of_the_user_do_not_change_a_figure(tmp_path):
    writer = figures.FigureWriter("drawn", "given", "#336699", 50)
    table = pd.DataFrame(
        {"CNN": ["0.5"]}, index=pd.MultiIndex.from_tuples([("Performance", "macro F1")], names=["", "metric"])
    )
    writer.save_table1(tmp_path / "default.png", table)
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 20, "savefig.transparent": True}):
        writer.save_table1(tmp_path / "figure.png", table)
        assert mpl.rcParams["font.size"] == 20, "the settings of the user are back"
    assert (tmp_path / "figure.png").read_bytes() == (tmp_path / "default.png").read_bytes()


def test_garbage_collection_pauses_during_the_first_import_of_tensorflow(monkeypatch):
    with library_settings.importing_tensorflow():
        assert gc.isenabled() == ("tensorflow" in sys.modules)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with library_settings.importing_tensorflow():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with library_settings.importing_tensorflow():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_keras_imports_neither_scikit_learn_nor_matplotlib_and_others_can():
    script = """
import sys
from realwaste.core import library_settings
with library_settings.importing_tensorflow():
    import keras
    assert not {"sklearn", "matplotlib"} & set(sys.modules)
    import sklearn
import matplotlib.pyplot
assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("realwaste")]
print(keras.Sequential([keras.layers.Dense(1)]).name, sklearn.__name__)
"""
    command = [sys.executable, "-c", script]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["sequential", "sklearn"]
