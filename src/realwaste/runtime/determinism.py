"""What makes results repeat bit for bit on the same machine: seeds, deterministic operations, library versions."""

from collections.abc import Sequence
from importlib.metadata import version

INFERENCE_LIBRARIES = ("openvino", "numpy", "opencv-python-headless", "pillow", "pi-heif")
_LIBRARIES = ("tensorflow", "keras", *INFERENCE_LIBRARIES)


def make_repeatable(seed: int, *, deterministic: bool) -> None:
    """Seed Python, NumPy and TensorFlow; `deterministic` makes every operation of TensorFlow repeat bit for bit."""
    import keras  # noqa: PLC0415 - reading versions does not need TensorFlow
    import tensorflow as tf  # noqa: PLC0415

    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def library_versions(names: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    """The installed versions of the libraries that results depend on: by default those of training."""
    return {name: version(name) for name in names}
