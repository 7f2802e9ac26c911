"""Settings of Keras and TensorFlow that must be made before either is imported.

`params.yaml` alone decides how a model is trained. The user's `keras.json` and environment variables, which another
project may need, would change results silently, so they are overridden.
"""

import gc
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path

from realwaste.core.errors import UserError

# Keras reads the keras.json of this folder instead of the user's, and writes nothing beside it.
KERAS_HOME = Path(__file__).parent / "keras_home"
_SET = {"KERAS_HOME": str(KERAS_HOME), "KERAS_BACKEND": "tensorflow"}
_UNSET = (
    # Would end training early.
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    # Select other implementations.
    "KERAS_NNX_ENABLED",
    "TF_USE_LEGACY_KERAS",
    "TF_XLA_FLAGS",
    # Compute in another number format than base.precision, which metrics report.
    "TF_ENABLE_AUTO_MIXED_PRECISION",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
)
_NO_LOG = "3"
# TF_CPP_MIN_LOG_LEVEL should hide these lines, but TensorFlow 2.21 reads it after it has written the first of them
# (tensorflow issue 100442).
_LOG_LINE = re.compile(rb"WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} \d\d:\d\d:")


def pin() -> None:
    """Make Keras and TensorFlow start with their defaults, in this process and in its child processes.

    Raises:
        UserError: Keras has been imported already, with other settings.
    """
    os.environ.update(_SET)
    for name in _UNSET:
        os.environ.pop(name, None)
    if (keras := sys.modules.get("keras")) is not None and hasattr(keras, "config"):
        config = keras.config
        settings = (config.backend(), config.floatx(), config.image_data_format(), config.epsilon())
        if settings != ("tensorflow", "float32", "channels_last", 1e-7):
            rule = "Keras must compute with TensorFlow, in float32 and channels_last, with an epsilon of 1e-07."
            remedy = "Import realwaste before Keras: it then leaves ~/.keras/keras.json and KERAS_BACKEND unread."
            raise UserError(rule, remedy, settings)


def silence_tensorflow() -> None:
    """Turn TensorFlow's log off, before it is imported. A TF_CPP_MIN_LOG_LEVEL that the user has set stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _NO_LOG)


@contextmanager
def importing_tensorflow() -> Iterator[None]:
    """Import TensorFlow and Keras in this block, faster and without TensorFlow's log lines.

    They create a million objects that live as long as the process. Garbage collection would search them during the
    import, later, and once more at exit: 2 of 5 seconds of a short process. The packages that `_HideFromKeras` hides
    would take a quarter of the rest.
    """
    pauses = "tensorflow" not in sys.modules and gc.isenabled()
    finder = _HideFromKeras()
    sys.meta_path.insert(0, finder)
    if pauses:
        gc.disable()
    try:
        with _drop_log_lines():
            yield
    finally:
        sys.meta_path.remove(finder)
        if pauses:
            gc.freeze()
            gc.enable()


class _HideFromKeras(MetaPathFinder):
    """Hides scikit-learn and Matplotlib from Keras, which imports them, if installed, for parts that are not used here.

    These are keras.wrappers and the galleries of keras.visualization. Other modules and threads can import both.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        keras = sys.modules.get("keras")
        is_importing = keras is not None and not hasattr(keras, "Model") and threading.get_ident() == self._thread
        if is_importing and name in {"sklearn", "matplotlib"}:
            raise ModuleNotFoundError(f"{name} is hidden from Keras", name=name)


@contextmanager
def _drop_log_lines() -> Iterator[None]:
    """Drop TensorFlow's log lines; other lines on standard error stay."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != _NO_LOG or sys.stderr is None:
        yield
        return
    # C++ writes them to the file descriptor, not to sys.stderr.
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            buffer.seek(0)
            os.write(2, b"".join(line for line in buffer if not _LOG_LINE.match(line)))
