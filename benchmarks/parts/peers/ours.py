"""The same jobs in the pipeline: what the stages call, and Keras' own layers, as in the report's procedure."""

from functools import partial

import numpy as np

from benchmarks.parts import peer_tables, report
from benchmarks.parts.peers.loop import Variant, VariantBuilders
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import determinism, fused_layers, inference_engine
from realwaste.training import training_loop
from realwaste.training.schedule import Schedule

POLICIES = {peer_tables.FLOAT32: "float32", peer_tables.BFLOAT16: "mixed_bfloat16"}


def inference(name: str, size: int, rows: int) -> VariantBuilders:
    """A frozen backbone with random weights, on a batch of `rows` pictures in memory."""
    determinism.make_repeatable(42, deterministic=True)
    backbone = feature_extractor.build(name, size, None, seed=42)
    pictures = _random_pictures(rows, size)

    def build(policy: str) -> Variant:
        engine = inference_engine.resolve_engine("auto", policy)
        return partial(inference_engine.compile_network(backbone, rows, policy=policy, engine=engine), pictures)

    def build_keras() -> Variant:
        return partial(backbone.predict_on_batch, pictures)

    return {peer_tables.REPORT: build_keras} | {name: partial(build, policy) for name, policy in POLICIES.items()}


def training(size: int, rows: int, classes: int) -> VariantBuilders:
    """One training step of the CNN, on a batch of `rows` pictures in memory."""
    determinism.make_repeatable(42, deterministic=True)
    pictures, labels = _random_pictures(rows, size), np.arange(rows) % classes

    def build(policy: str) -> Variant:
        schedule = Schedule(1, rows, 0.001, True, 42, dtype_policy=policy)
        training_copy = fused_layers.fuse(cnn.build(size, classes, batch_norm_momentum=0.9), policy, for_training=True)
        training_loop.compile_for_training(training_copy, schedule, 1)
        return partial(training_copy.train_on_batch, pictures, labels)

    def build_keras() -> Variant:
        return partial(report.compiled_cnn(size, classes, 0.001).train_on_batch, pictures, labels)

    return {peer_tables.REPORT: build_keras} | {name: partial(build, policy) for name, policy in POLICIES.items()}


def _random_pictures(rows: int, size: int) -> np.ndarray:
    return np.random.default_rng(42).integers(0, 256, (rows, size, size, 3), dtype=np.uint8)
