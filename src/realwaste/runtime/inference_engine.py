"""What runs a network that only answers: `openvino` on processors, `tensorflow` on GPUs, by `base.inference`.

OpenVINO (Intel, Apache 2.0) compiles a network for the processor it finds, folds normalisation into convolutions and
chooses their layout once. `python -m benchmarks` has its lead over TensorFlow on this machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realwaste.core import machine

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A network at work, for as many rows as one likes: uint8 pictures or float32 vectors in, float32 out.

    Attributes:
        run: one batch of `rows` rows through it.
        shape: of the output for one row.
    """

    run: Callable[[NDArray[Any]], NDArray[np.float32]]
    rows: int
    shape: tuple[int, ...]

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The output (n, *shape) for inputs (n, …)."""
        found = np.empty((len(inputs), *self.shape), np.float32)
        for start in range(0, len(inputs), self.rows):
            batch = inputs[start : start + self.rows]
            # Every batch has one shape, the last one filled up with its first row: another shape is another program.
            filled = np.concatenate([batch, np.repeat(batch[:1], self.rows - len(batch), axis=0)])
            found[start : start + len(batch)] = self.run(filled)[: len(batch)]
        return found


def resolve(choice: str, policy: str) -> str:
    """What `base.inference` stands for here: for `auto` tensorflow where it has a GPU, or computes in float16.

    Args:
        choice: auto, openvino or tensorflow.
        policy: the Keras dtype policy that is computed in.
    """
    if choice != "auto":
        return choice
    return "tensorflow" if policy == "mixed_float16" or _has_gpu() else "openvino"


def network(model: "keras.Model", rows: int, *, policy: str, engine: str) -> Network:
    """`model`, one input and one output, run by `engine` in `policy` as it is now: what it learns later has no effect.

    Args:
        rows: of a batch.
    """
    if engine == "openvino":
        from realwaste.runtime import openvino_conversion, openvino_network  # noqa: PLC0415 - which a GPU need not wait for

        return openvino_network.network(openvino_conversion.converted(model), rows, policy)
    from realwaste.runtime import tensorflow_network  # noqa: PLC0415

    return tensorflow_network.network(model, rows, policy)


def _has_gpu() -> bool:
    """TensorFlow is asked, which takes seconds, only where there may be one."""
    if not machine.may_have_gpu():
        return False
    from realwaste.runtime import device  # noqa: PLC0415

    return bool(device.gpus())
