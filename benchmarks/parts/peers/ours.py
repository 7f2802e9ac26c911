"""The same jobs in the pipeline: what the stages call, and Keras' own layers, as in the report's procedure."""

import keras
import numpy as np

from benchmarks.parts import report
from benchmarks.parts.peers.loop import Variant, VariantBuilders
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import determinism, fused_layers, inference_engine
from realwaste.training import training_loop
from realwaste.training.schedule import Schedule

POLICIES = {"here, float32": "float32", "here, bfloat16": "mixed_bfloat16"}


def inference(name: str, size: int, rows: int) -> VariantBuilders:
    """A frozen backbone with random weights, on a batch of `rows` pictures in memory."""
    determinism.make_repeatable(42, deterministic=True)
    backbone = feature_extractor.build(name, size, None, seed=42)
    pictures = _random_pictures(rows, size)

    def build_pipeline_variant(policy: str) -> Variant:
        network = inference_engine.compile_network(
            backbone, rows, policy=policy, engine=inference_engine.resolve_engine("auto", policy)
        )
        return lambda: network(pictures)

    return {"Keras, float32": lambda: lambda: backbone.predict_on_batch(pictures)} | {
        name: lambda policy=policy: build_pipeline_variant(policy) for name, policy in POLICIES.items()
    }


def training(size: int, rows: int, classes: int) -> VariantBuilders:
    """One training step of the CNN, on a batch of `rows` pictures in memory."""
    determinism.make_repeatable(42, deterministic=True)
    pictures, labels = _random_pictures(rows, size), np.arange(rows) % classes

    def step(network: keras.Model) -> Variant:
        return lambda: network.train_on_batch(pictures, labels)

    def build_pipeline_variant(policy: str) -> Variant:
        schedule = Schedule(1, rows, 0.001, True, 42, dtype_policy=policy)
        training_copy = fused_layers.fuse(cnn.build(size, classes, batch_norm_momentum=0.9), policy, for_training=True)
        training_loop.compile_for_training(training_copy, schedule, 1)
        return step(training_copy)

    return {"Keras, float32": lambda: step(report.compiled_cnn(size, classes, 0.001))} | {
        name: lambda policy=policy: build_pipeline_variant(policy) for name, policy in POLICIES.items()
    }


def _random_pictures(rows: int, size: int) -> np.ndarray:
    return np.random.default_rng(42).integers(0, 256, (rows, size, size, 3), dtype=np.uint8)
