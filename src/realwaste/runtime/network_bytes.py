"""An inference-only network as bytes, to send it to workers on other machines."""

import tempfile
from pathlib import Path

import keras

from realwaste.runtime import inference_engine, openvino_network
from realwaste.runtime.inference_engine import Network


def serialize(model: keras.Model, engine: str) -> tuple[bytes, ...]:
    """`model` as the contents of an .xml and a .bin of OpenVINO, or for the engine tensorflow of a .keras."""
    if engine == "openvino":
        return openvino_network.to_bytes(openvino_network.convert(model))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        return (file.read_bytes(),)


def deserialize(files: tuple[bytes, ...], engine: str, *, batch_size: int, policy: str, threads: int) -> Network:
    """Compile what `serialize` returned. `threads` is for OpenVINO; TensorFlow's are set once for its process."""
    if engine == "openvino":
        converted = openvino_network.from_bytes(*files)
        return openvino_network.compile_network(converted, batch_size, policy, threads)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        file.write_bytes(files[0])
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    return inference_engine.compile_network(model, batch_size, policy=policy, engine=engine)
