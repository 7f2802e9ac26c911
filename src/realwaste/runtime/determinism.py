"""Random numbers and operations that repeat: the same run gives the same bits on the same machine."""

import keras
import tensorflow as tf


def make_repeatable(seed: int, *, deterministic: bool) -> None:
    """Seed Python, NumPy and TensorFlow; `deterministic` makes every operation repeat bit for bit."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
