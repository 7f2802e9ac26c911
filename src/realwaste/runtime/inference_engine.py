"""What runs a network for inference: OpenVINO on processors, TensorFlow on GPUs, or what `base.inference` names.

OpenVINO (Intel, Apache 2.0) compiles a network for the processor that it runs on: it folds normalisation into
convolutions and chooses the memory layout once. `python -m benchmarks` measures its speed against TensorFlow's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realwaste.core import machine

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A compiled inference-only network: uint8 images or float32 vectors in, float32 out, for any number of rows."""

    run: Callable[[NDArray[Any]], NDArray[np.float32]]  # computes one batch of exactly `batch_size` rows
    batch_size: int
    shape: tuple[int, ...]  # of the output for one row

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The outputs (n, *shape) for inputs (n, …)."""
        outputs = np.empty((len(inputs), *self.shape), np.float32)
        for start in range(0, len(inputs), self.batch_size):
            batch = inputs[start : start + self.batch_size]
            # The last batch is padded with its first row: a batch of another shape would be compiled anew.
            padded = np.concatenate([batch, np.repeat(batch[:1], self.batch_size - len(batch), axis=0)])
            outputs[start : start + len(batch)] = self.run(padded)[: len(batch)]
        return outputs


def resolve_engine(choice: str, policy: str) -> str:
    """The engine, openvino or tensorflow, that `base.inference` means here for a Keras dtype policy.

    `auto` is tensorflow on a GPU or in float16, if TensorFlow is installed; else openvino.
    """
    if choice != "auto":
        return choice
    if not has_tensorflow():
        return "openvino"
    return "tensorflow" if policy == "mixed_float16" or _has_gpu() else "openvino"


def compile_network(model: "keras.Model", batch_size: int, *, policy: str, engine: str) -> Network:
    """Compile a Keras model with one input and one output for `engine`, with its present weights."""
    if engine == "openvino":
        from realwaste.runtime import openvino_network  # noqa: PLC0415 - not needed on a GPU

        return openvino_network.compile_network(openvino_network.convert(model), batch_size, policy)
    from realwaste.runtime import fused_layers  # noqa: PLC0415 - TensorFlow

    fused = fused_layers.fuse(model, policy)
    return Network(lambda batch: np.asarray(fused.predict_on_batch(batch)), batch_size, tuple(model.output_shape[1:]))


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed; it is not imported."""
    return find_spec("tensorflow") is not None


def _has_gpu() -> bool:
    """Whether TensorFlow sees a GPU. It is imported, which takes seconds, only if the machine may have one."""
    if not machine.may_have_gpu():
        return False
    from realwaste.runtime import device  # noqa: PLC0415 - TensorFlow

    return bool(device.list_gpus())
