"""A network that only answers as bytes, for workers on other machines."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras

from realwaste.runtime import openvino_conversion, openvino_network, tensorflow_network
from realwaste.runtime.inference_engine import Network


@dataclass(frozen=True)
class Portable:
    """What `packed` made.

    Attributes:
        engine: openvino or tensorflow.
        parts: its files: one .xml and one .bin, or one .keras.
    """

    engine: str
    parts: tuple[bytes, ...]


def packed(model: keras.Model, engine: str) -> Portable:
    """`model`, to be run by `engine`."""
    if engine == "openvino":
        return Portable(engine, openvino_network.packed(openvino_conversion.converted(model)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        return Portable(engine, (file.read_bytes(),))


def opened(portable: Portable, rows: int, policy: str, threads: int) -> Network:
    """As of engines.network, with so many threads; TensorFlow's are set for its process before it computes."""
    if portable.engine == "openvino":
        return openvino_network.network(openvino_network.unpacked(*portable.parts), rows, policy, threads)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        file.write_bytes(portable.parts[0])
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    return tensorflow_network.network(model, rows, policy)
