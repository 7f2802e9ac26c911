"""Networks of OpenVINO: converted from Keras, saved, loaded and compiled. Only `convert` needs TensorFlow.

Import OpenVINO from here: its telemetry, which sends data to Google Analytics at import, is then off.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realwaste.runtime.inference_engine import Network

if TYPE_CHECKING:
    import keras

# None makes Python report the module as missing; OpenVINO then uses a stub that sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

__all__ = ["VERSION", "compile_network", "convert", "from_bytes", "load", "openvino", "save", "to_bytes"]
VERSION = 2  # of what `convert` returns: networks that another version converted are not used
# No processor computes in float16; float32 has all of its numbers.
_TYPES = {"float32": "f32", "mixed_bfloat16": "bf16", "mixed_float16": "f32"}


def convert(model: "keras.Model") -> openvino.Model:
    """Convert a Keras model with one input and one output, with its present weights; the batch size stays free.

    An input of four dimensions is an image, and becomes uint8 whatever dtype the Keras model takes.
    """
    import tensorflow as tf  # noqa: PLC0415 - a converted network runs without TensorFlow

    inputs = model.inputs[0]
    traced = tf.function(lambda batch: model(batch, training=False), autograph=False)
    graph = traced.get_concrete_function(tf.TensorSpec(inputs.shape, inputs.dtype))
    with _indexed_variables(graph.graph):
        # Shared weights are TensorFlow's memory, which is reused once `graph` has been deleted.
        converted = openvino.convert_model(graph, share_weights=False)
    if len(inputs.shape) != 4:
        return converted
    processor = openvino.preprocess.PrePostProcessor(converted)
    processor.input().tensor().set_element_type(openvino.Type.u8)
    return processor.build()


@contextmanager
def _indexed_variables(graph: Any) -> Iterator[None]:
    """Make OpenVINO find the variables of a graph by name in this block.

    OpenVINO 2026 searches all of them for each variable, ten times: 5 of 10 s for InceptionResNetV2.
    """
    from openvino.frontend.tensorflow.node_decoder import TFGraphNodeDecoder  # noqa: PLC0415 - imports TensorFlow

    search = TFGraphNodeDecoder.get_variable
    variables = {id(variable.handle): variable for variable in graph.variables}
    values = {
        placeholder.name: variables[id(captured)]
        for captured, placeholder in graph.captures
        if id(captured) in variables
    }

    def get_variable(operation: Any) -> Any:
        variable = values.get(operation.outputs[0].name) if operation.graph is graph else None
        return search(operation) if variable is None else variable.read_value_no_copy()

    TFGraphNodeDecoder.get_variable = staticmethod(get_variable)
    try:
        yield
    finally:
        TFGraphNodeDecoder.get_variable = staticmethod(search)


def compile_network(converted: openvino.Model, batch_size: int, policy: str, threads: int | None = None) -> Network:
    """Compile what `convert` returned for the processor.

    Args:
        policy: the Keras dtype policy to compute in; float32 takes the place of mixed_float16.
        threads: used for one batch; one per core by default. The results do not depend on it.
    """
    reshaped = converted.clone()
    reshaped.reshape([batch_size, *(reshaped.inputs[0].partial_shape[1:])])
    config: dict[str, str | int] = {
        "PERFORMANCE_HINT": "LATENCY",  # all cores on one batch: as fast as two streams
        "INFERENCE_PRECISION_HINT": _TYPES[policy],
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    request = _core().compile_model(reshaped, "CPU", config).create_infer_request()
    shape = tuple(reshaped.outputs[0].shape)[1:]
    return Network(lambda batch: np.array(request.infer([batch], share_inputs=True)[0]), batch_size, shape)


def save(path: Path, converted: openvino.Model) -> None:
    """Write <path>.xml and, beside it, the weights in float32 as .bin."""
    openvino.save_model(converted, path, compress_to_fp16=False)


def load(path: Path) -> openvino.Model:
    """Read what `save` wrote.

    Raises:
        RuntimeError: the files are missing or damaged.
    """
    return _core().read_model(path)


def to_bytes(converted: openvino.Model) -> tuple[bytes, bytes]:
    """The contents of the two files that `save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        save(path, converted)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def from_bytes(xml: bytes, weights: bytes) -> openvino.Model:
    """Read what `to_bytes` returned."""
    return _core().read_model(xml, weights)


@cache
def _core() -> openvino.Core:
    return openvino.Core()
