"""Settings of Keras and TensorFlow that come from outside and would change results without a word.

`params.yaml` alone says how a model is trained. A `keras.json` that another project needs, or its variables, do not.
"""

import os
import sys
from pathlib import Path

from realwaste.core.errors import UserError

# Keras reads keras.json of this folder, in place of that in the user's home, and writes nothing beside it.
KERAS_HOME = Path(__file__).parent / "keras_home"
_SET = {"KERAS_HOME": str(KERAS_HOME), "KERAS_BACKEND": "tensorflow"}
_UNSET = (
    # Trainings would end early.
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    # Other implementations.
    "KERAS_NNX_ENABLED",
    "TF_USE_LEGACY_KERAS",
    "TF_XLA_FLAGS",
    # Another number format than that of base.precision, which metrics report.
    "TF_ENABLE_AUTO_MIXED_PRECISION",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
)


def pin() -> None:
    """Have Keras and TensorFlow start with their defaults, in this process and in those that it starts.

    Raises:
        UserError: Keras has been imported already, with other settings.
    """
    os.environ.update(_SET)
    for name in _UNSET:
        os.environ.pop(name, None)
    if (keras := sys.modules.get("keras")) is not None and hasattr(keras, "config"):
        config = keras.config
        found = (config.backend(), config.floatx(), config.image_data_format(), config.epsilon())
        if found != ("tensorflow", "float32", "channels_last", 1e-7):
            raise UserError(
                "Keras must compute with TensorFlow, in float32 and channels_last, with an epsilon of 1e-07.",
                "Import realwaste before Keras: it then leaves ~/.keras/keras.json and KERAS_BACKEND unread.",
                found,
            )
