"""In which number format the convolutions compute: `base.precision` against what the hardware has."""

from pathlib import Path

import tensorflow as tf

from realwaste.log import logger

CPUINFO = Path("/proc/cpuinfo")
# NVIDIA's Ampere and later.
_BFLOAT16_CAPABILITY = (8, 0)


def resolve(choice: str) -> str:
    """The Keras dtype policy: what was asked for, or for `auto` bfloat16 where it is in hardware, else float32.

    Without the hardware bfloat16 is emulated and slower than float32. Weights are float32 in every policy.

    Args:
        choice: auto, float32, mixed_bfloat16 or mixed_float16.
    """
    if choice == "auto":
        return "mixed_bfloat16" if _has_bfloat16() else "float32"
    if choice == "mixed_float16" and not _gpus():
        logger.warning("float16 is emulated on a processor: slow. base.precision=auto takes what is fast here")
    return choice


def _has_bfloat16() -> bool:
    gpus = _gpus()
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(facts.get("compute_capability", (0, 0)) >= _BFLOAT16_CAPABILITY for facts in details)
    return bool({"avx512_bf16", "amx_bf16"} & _processor_flags())


def _gpus() -> list[tf.config.PhysicalDevice]:
    return tf.config.list_physical_devices("GPU")


def _processor_flags() -> set[str]:
    """Linux lists them; elsewhere none is known."""
    if not CPUINFO.is_file():
        return set()
    lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
