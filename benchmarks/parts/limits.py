"""How near the pipeline comes to what the machine can do: the bare backbone, the bare decoder, the bare dataset."""

import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.core import machine
from realwaste.core.files import read_csv
from realwaste.dataset import manifest
from realwaste.embedding import local_extraction
from realwaste.images.reader import decode, read_many
from realwaste.models import feature_extractor
from realwaste.runtime import determinism, device, fused_layers, inference_engine
from realwaste.runtime.openvino_network import openvino
from realwaste.training import batches
from realwaste.training.samples import Samples


def embedding_rate(*, work: str, name: str, size: int, policy: str, images: int, repeats: int) -> dict[str, Any]:
    """Images/s of networks called in a loop on one batch in memory, and of the pipeline from files, in turn.

    Keras' own network, which the report would call; its twin in TensorFlow, in the same precision; OpenVINO's own loop,
    without any code of ours; and the pipeline, which runs the last.
    """
    policy = device.resolve_precision(policy)
    determinism.make_repeatable(42, deterministic=True)
    plain = feature_extractor.build(name, size, None, seed=42)
    twin, root, engine = (
        fused_layers.fuse(plain, policy),
        Path(work) / "data/raw",
        inference_engine.resolve_engine("auto", policy),
    )
    network = inference_engine.compile_network(plain, 8, policy=policy, engine=engine)
    paths = read_csv(Path(work) / "data/splits.csv")["path"].tolist()[:images]
    ready = read_many([root / path for path in paths[:8]], size)
    rounds = len(paths) // 8

    def loop(answer: Callable[[Any], object]) -> Callable[[], object]:
        return lambda: [answer(ready) for _ in range(rounds)]

    ways = {
        "keras": loop(plain.predict_on_batch),
        "tensorflow": loop(twin.predict_on_batch),
        "bare": loop(_openvino_alone(plain, policy, ready.astype(np.float32))),
        "pipeline": lambda: local_extraction.embed(network, root, paths[: rounds * 8], image_size=size),
    }
    return {"precision": policy, "inference": engine, "images": rounds * 8} | _medians(ways, repeats)


def _openvino_alone(model: keras.Model, policy: str, batch: NDArray[np.float32]) -> Callable[[Any], object]:
    """The same batch every time, as OpenVINO's documentation has it: convert, compile, infer."""
    made = openvino.convert_model(
        tf.function(lambda image: model(image, training=False)).get_concrete_function(
            tf.TensorSpec(batch.shape, model.inputs[0].dtype)
        )
    )
    precision = {"INFERENCE_PRECISION_HINT": "f32" if policy == "float32" else "bf16", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(made, "CPU", precision).create_infer_request()
    return lambda _: request.infer([batch])


def epoch_ends(images: int, epochs: int) -> dict[str, Any]:
    """Seconds of each epoch of two convolutions on JPEGs of 64 px, tf.data's autotuning on, off, and as we have it."""
    determinism.make_repeatable(42, deterministic=False)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 64, 64, 3), dtype=np.uint8)
    labels = np.zeros(images, np.int64)
    inputs = keras.Input((64, 64, 3))
    features = keras.layers.Conv2D(32, 3)(keras.layers.Conv2D(64, 3)(keras.layers.Rescaling(1 / 255)(inputs)))
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")

    def decoded(data: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.io.decode_jpeg(data, channels=3), label

    # As tutorials have it.
    files = tf.data.Dataset.from_tensor_slices(([tf.io.encode_jpeg(image).numpy() for image in pixels], labels))
    usual = files.map(decoded, num_parallel_calls=tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.autotune.enabled = False
    ours = batches.ordered(Samples(pixels, labels), batch_size=32)
    kinds = {"autotuned": usual, "not_autotuned": usual.with_options(options), "pipeline": ours}
    fits = {name: partial(model.fit, dataset, shuffle=False, verbose=0) for name, dataset in kinds.items()}
    return {"images": images, "seconds": _in_turn(fits, epochs)}


def validation_rate(work: str, repeats: int) -> dict[str, Any]:
    """validate_images' scan, which also hashes, against nothing but decoding on all cores."""
    root = Path(work) / "data/raw"
    files = sorted(root.glob("*/*"))

    def bare() -> None:
        with ThreadPoolExecutor(machine.available_cpus()) as pool:
            for _ in pool.map(lambda file: decode(file.read_bytes()), files):
                pass

    timed = _medians({"bare": bare, "pipeline": lambda: manifest.scan(root)}, repeats)
    return {"images": len(files)} | timed


def _medians(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    return {f"{name}_seconds": statistics.median(runs) for name, runs in _in_turn(jobs, repeats).items()}


def _in_turn(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run of each job; the first round, which builds graphs, is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - started)
    return {name: values[1:] for name, values in seconds.items()}
