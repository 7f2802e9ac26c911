"""A network that only answers, run by OpenVINO, which needs no TensorFlow once the network is converted."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from realwaste.runtime.inference_engine import Network
from realwaste.runtime.openvino_import import openvino

_TYPES = {"float32": "f32", "mixed_bfloat16": "bf16"}


def network(converted: openvino.Model, rows: int, policy: str, threads: int | None = None) -> Network:
    """As of engines.network, of what realwaste.runtime.openvino_conversion made.

    Args:
        threads: that one batch is computed with; a core each without it. The results do not depend on it.
    """
    own = converted.clone()
    own.reshape([rows, *(own.inputs[0].partial_shape[1:])])
    asked: dict[str, str | int] = {
        "PERFORMANCE_HINT": "LATENCY",  # all cores at one batch: level with two streams
        "INFERENCE_PRECISION_HINT": _TYPES[policy],
    }
    if threads:
        asked["INFERENCE_NUM_THREADS"] = threads
    request = _core().compile_model(own, "CPU", asked).create_infer_request()
    shape = tuple(own.outputs[0].shape)[1:]
    return Network(lambda batch: np.array(request.infer([batch], share_inputs=True)[0]), rows, shape)


def save(path: Path, converted: openvino.Model) -> None:
    """As <path>.xml and the weights beside it, .bin, in full."""
    openvino.save_model(converted, path, compress_to_fp16=False)


def load(path: Path) -> openvino.Model:
    """What `save` wrote.

    Raises:
        RuntimeError: no such files, or damaged ones.
    """
    return _core().read_model(path)


def packed(converted: openvino.Model) -> tuple[bytes, bytes]:
    """The two files of `save` as bytes, to be sent elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        save(path, converted)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def unpacked(network: bytes, weights: bytes) -> openvino.Model:
    """What `packed` made bytes of."""
    return _core().read_model(network, weights)


@cache
def _core() -> openvino.Core:
    return openvino.Core()
