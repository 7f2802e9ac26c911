"""Our side of the same jobs: what the stages call, and Keras' own layers, which the report's procedure calls."""

import keras
import numpy as np

from benchmarks.parts import report
from benchmarks.parts.peers.loop import Makers, Way
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import determinism, fused_layers, inference_engine
from realwaste.training import training_loop
from realwaste.training.schedule import Schedule

POLICIES = {"here, float32": "float32", "here, bfloat16": "mixed_bfloat16"}


def inference(name: str, size: int, rows: int) -> Makers:
    """A frozen backbone with random weights, on `rows` pictures in memory."""
    determinism.make_repeatable(42, deterministic=True)
    plain = feature_extractor.build(name, size, None, seed=42)
    pictures = _pictures(rows, size)

    def ours(policy: str) -> Way:
        network = inference_engine.compile_network(
            plain, rows, policy=policy, engine=inference_engine.resolve_engine("auto", policy)
        )
        return lambda: network(pictures)

    return {"Keras, float32": lambda: lambda: plain.predict_on_batch(pictures)} | {
        name: lambda policy=policy: ours(policy) for name, policy in POLICIES.items()
    }


def training(size: int, rows: int, classes: int) -> Makers:
    """One step of the CNN, on `rows` pictures in memory."""
    determinism.make_repeatable(42, deterministic=True)
    pictures, labels = _pictures(rows, size), np.arange(rows) % classes

    def step(network: keras.Model) -> Way:
        return lambda: network.train_on_batch(pictures, labels)

    def ours(policy: str) -> Way:
        schedule = Schedule(1, rows, 0.001, True, 42, dtype_policy=policy)
        twin = fused_layers.fuse(cnn.build(size, classes, batch_norm_momentum=0.9), policy, for_training=True)
        training_loop.compile_for_training(twin, schedule, 1)
        return step(twin)

    return {"Keras, float32": lambda: step(report.compiled_cnn(size, classes, 0.001))} | {
        name: lambda policy=policy: ours(policy) for name, policy in POLICIES.items()
    }


def _pictures(rows: int, size: int) -> np.ndarray:
    return np.random.default_rng(42).integers(0, 256, (rows, size, size, 3), dtype=np.uint8)
