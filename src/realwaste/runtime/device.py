"""What TensorFlow computes on here, GPU or processor, and in which number format (`base.precision`)."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from realwaste.core import machine
from realwaste.core.log import logger

# NVIDIA's Ampere and later.
_BFLOAT16_CAPABILITY = (8, 0)


def list_gpus() -> list[tf.config.PhysicalDevice]:
    """The GPUs that TensorFlow sees."""
    return tf.config.list_physical_devices("GPU")


def resolve_precision(choice: str) -> str:
    """The Keras dtype policy that `base.precision` means here: `auto` is bfloat16 if the hardware has it, else float32.

    Without the hardware bfloat16 is emulated and slower than float32. Weights are float32 in every policy.
    """
    if choice == "auto":
        return "mixed_bfloat16" if _has_bfloat16() else "float32"
    if choice == "mixed_float16" and not list_gpus():
        logger.warning("float16 is emulated on a processor, and slow; base.precision=auto picks the fastest format")
    return choice


def record(precision: str, engine: str = "local", inference: str | None = None) -> dict[str, str | int]:
    """The record of realwaste.core.machine, with the GPUs that TensorFlow sees unless OpenVINO computed."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in list_gpus() if inference != "openvino"]
    names = [gpu.get("device_name", "of unknown name") for gpu in details]
    return machine.record(precision, gpus=names, engine=engine, inference=inference)


def log_device(device_record: Mapping[str, Any]) -> None:
    """Log what a computation runs on, and warn if the machine has an NVIDIA GPU that TensorFlow does not see."""
    logger.info("computes on %s", machine.describe(device_record))
    if device_record["gpu"] == machine.NO_GPU and machine.may_have_gpu():
        logger.warning(
            "This machine has an NVIDIA GPU that TensorFlow does not see: pip install 'tensorflow[and-cuda]==%s' "
            "installs the missing libraries (docs/gpu.md). Set CUDA_VISIBLE_DEVICES=-1 to compute without the GPU.",
            tf.__version__,
        )


def _has_bfloat16() -> bool:
    if gpus := list_gpus():
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(gpu.get("compute_capability", (0, 0)) >= _BFLOAT16_CAPABILITY for gpu in details)
    return bool({"avx512_bf16", "amx_bf16"} & machine.cpu_flags())
