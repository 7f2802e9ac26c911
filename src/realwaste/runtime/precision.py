"""In which number format the convolutions compute: `base.precision` against what the hardware has."""

from realwaste.core import machine
from realwaste.core.log import logger
from realwaste.runtime import device

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
    if choice == "mixed_float16" and not device.gpus():
        logger.warning("float16 is emulated on a processor: slow. base.precision=auto takes what is fast here")
    return choice


def _has_bfloat16() -> bool:
    if gpus := device.gpus():
        return all(device.facts(gpu).get("compute_capability", (0, 0)) >= _BFLOAT16_CAPABILITY for gpu in gpus)
    return bool({"avx512_bf16", "amx_bf16"} & machine.flags())
