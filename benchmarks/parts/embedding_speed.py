"""How close the pipeline comes to the speed of the backbone alone."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.parts.child import time_in_turn
from realwaste.core.files import read_csv
from realwaste.embedding import extraction
from realwaste.images.reader import read_images
from realwaste.models import feature_extractor
from realwaste.runtime import determinism, device, fused_layers, inference_engine
from realwaste.runtime.openvino_network import openvino


def time_embedding(*, work: str, name: str, size: int, policy: str, images: int, repeats: int) -> dict[str, Any]:
    """Seconds for the same images with four networks, in alternating rounds.

    Three predict one batch in memory in a loop: Keras' network, as in the report; its fused copy in TensorFlow; and
    OpenVINO without code of this project. The fourth is the pipeline, which reads image files.
    """
    policy = device.resolve_precision(policy)
    determinism.make_repeatable(42, deterministic=True)
    keras_network = feature_extractor.build(name, size, None, seed=42)
    fused_network, root = fused_layers.fuse(keras_network, policy), Path(work) / "data/raw"
    engine = inference_engine.resolve_engine("auto", policy)
    network = inference_engine.compile_network(keras_network, 8, policy=policy, engine=engine)
    paths = read_csv(Path(work) / "data/splits.csv")["path"].tolist()[:images]
    batch = read_images([root / path for path in paths[:8]], size)
    rounds = len(paths) // 8

    def loop(predict: Callable[[Any], object]) -> Callable[[], object]:
        return lambda: [predict(batch) for _ in range(rounds)]

    jobs = {
        "keras": loop(keras_network.predict_on_batch),
        "tensorflow": loop(fused_network.predict_on_batch),
        "bare": loop(_openvino_alone(keras_network, policy, batch.astype(np.float32))),
        "pipeline": lambda: extraction.embed(network, root, paths[: rounds * 8], image_size=size),
    }
    seconds = time_in_turn(jobs, repeats + 1)  # the first round builds graphs
    medians = {f"{name}_seconds": statistics.median(values[1:]) for name, values in seconds.items()}
    return {"precision": policy, "inference": engine, "images": rounds * 8} | medians


def _openvino_alone(model: keras.Model, policy: str, batch: NDArray[np.float32]) -> Callable[[Any], object]:
    """Predicts the same batch every time, as in OpenVINO's documentation: convert, compile, infer."""
    function = tf.function(lambda image: model(image, training=False))
    converted = openvino.convert_model(
        function.get_concrete_function(tf.TensorSpec(batch.shape, model.inputs[0].dtype))
    )
    precision = {"INFERENCE_PRECISION_HINT": "f32" if policy == "float32" else "bf16", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(converted, "CPU", precision).create_infer_request()
    return lambda _: request.infer([batch])
