"""An inference-only network as bytes, to send it to workers on other machines."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras

from realwaste.runtime import inference_engine, openvino_network
from realwaste.runtime.inference_engine import Network


@dataclass(frozen=True)
class NetworkBytes:
    """What `serialize` returns.

    Attributes:
        engine: openvino or tensorflow.
        files: their contents: one .xml and one .bin of OpenVINO, or one .keras.
    """

    engine: str
    files: tuple[bytes, ...]


def serialize(model: keras.Model, engine: str) -> NetworkBytes:
    """`model` as bytes, for `engine`."""
    if engine == "openvino":
        return NetworkBytes(engine, openvino_network.to_bytes(openvino_network.convert(model)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        return NetworkBytes(engine, (file.read_bytes(),))


def deserialize(network: NetworkBytes, batch_size: int, policy: str, threads: int) -> Network:
    """Compile what `serialize` returned. `threads` is for OpenVINO; TensorFlow's are set once for its process."""
    if network.engine == "openvino":
        converted = openvino_network.from_bytes(*network.files)
        return openvino_network.compile_network(converted, batch_size, policy, threads)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        file.write_bytes(network.files[0])
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    return inference_engine.compile_network(model, batch_size, policy=policy, engine=network.engine)
