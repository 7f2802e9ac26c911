"""Whether TensorFlow computes on a GPU or on the processor, for people and for the record."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from realwaste.core import machine
from realwaste.core.log import logger


def gpus() -> list[tf.config.PhysicalDevice]:
    """The GPUs that TensorFlow sees."""
    return tf.config.list_physical_devices("GPU")


def facts(gpu: tf.config.PhysicalDevice) -> dict[str, Any]:
    """What TensorFlow knows of a GPU: device_name and compute_capability, where it has them."""
    return tf.config.experimental.get_device_details(gpu)


def record(precision: str, engine: str = "local", inference: str | None = None) -> dict[str, str | int]:
    """The record of realwaste.core.machine, with the GPUs that TensorFlow sees unless OpenVINO computed."""
    names = [facts(gpu).get("device_name", "of unknown name") for gpu in gpus() if inference != "openvino"]
    return machine.record(precision, gpus=names, engine=engine, inference=inference)


def say(made: Mapping[str, Any]) -> None:
    """Log one line on what a computation runs on, and a warning where a GPU is there that TensorFlow does not see."""
    logger.info("computes on %s", machine.line(made))
    if made["gpu"] == machine.NO_GPU and machine.may_have_gpu():
        logger.warning(
            "An NVIDIA GPU is here, and TensorFlow does not see it: pip install 'tensorflow[and-cuda]==%s' brings the "
            "libraries that it misses; docs/gpu.md says more. CUDA_VISIBLE_DEVICES=-1 says that it is not wanted.",
            tf.__version__,
        )
