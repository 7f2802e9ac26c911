"""Whether TensorFlow computes on a GPU or on the processor, for people and for the record."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from realwaste.core import machine
from realwaste.core.log import logger

# Of NVIDIA's driver: on Linux, in a container that was given a GPU, and in Windows' subsystem for Linux.
NVIDIA = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"), Path("/usr/lib/wsl/lib/nvidia-smi"))
_HIDDEN = {"", "-1"}


def gpus() -> list[tf.config.PhysicalDevice]:
    return tf.config.list_physical_devices("GPU")


def facts(gpu: tf.config.PhysicalDevice) -> dict[str, Any]:
    """device_name and compute_capability, where it has them."""
    return tf.config.experimental.get_device_details(gpu)


def record(precision: str, engine: str = "local") -> dict[str, str | int]:
    """machine.record of a computation by TensorFlow."""
    names = [facts(gpu).get("device_name", "of unknown name") for gpu in gpus()]
    return machine.record(precision, gpus=names, engine=engine)


def say(made: Mapping[str, Any]) -> None:
    """One line on what a training runs on; one more where a GPU lies idle, since TensorFlow's own notes are dropped."""
    logger.info("computes on %s", machine.line(made))
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES") not in _HIDDEN
    if made["gpu"] == machine.NO_GPU and wanted and any(path.exists() for path in NVIDIA):
        logger.warning(
            "An NVIDIA GPU is here, and TensorFlow does not see it: pip install 'tensorflow[and-cuda]==%s' brings the "
            "libraries that it misses; docs/gpu.md says more. CUDA_VISIBLE_DEVICES=-1 says that it is not wanted.",
            tf.__version__,
        )
