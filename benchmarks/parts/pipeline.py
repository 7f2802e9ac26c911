"""The jobs with the pipeline's code: what the stages call, on the same images."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from realwaste.core.files import read_csv
from realwaste.dataset.labels import classes_of, paths_of
from realwaste.embedding import extraction
from realwaste.images.reader import prefetch_batches
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import determinism, device, inference_engine
from realwaste.training import head, samples, training_loop
from realwaste.training.finetune import select_vectors
from realwaste.training.schedule import Schedule


def train(work: str, epochs: int, policy: str, size: int = 256) -> dict[str, Any]:
    root, policy = Path(work), device.resolve_precision(policy)
    started = time.perf_counter()
    (model,) = _fit_cnns(root, epochs, [0.001], policy, size)
    test_paths = [root / "data/raw" / path for path in paths_of(read_csv(root / "data/splits.csv"), "test")]
    engine = inference_engine.resolve_engine("auto", policy)
    predict = inference_engine.compile_network(model, 32, policy=policy, engine=engine)
    for batch in prefetch_batches(test_paths, size, 32):
        predict(batch)
    return {"seconds": time.perf_counter() - started, "precision": policy}


def sweep(work: str, epochs: int, rates: list[float], policy: str, size: int = 256) -> dict[str, Any]:
    policy = device.resolve_precision(policy)
    started = time.perf_counter()
    for _ in _fit_cnns(Path(work), epochs, rates, policy, size):
        keras.utils.clear_session()
    return {"seconds": time.perf_counter() - started, "precision": policy}


def _fit_cnns(root: Path, epochs: int, rates: list[float], policy: str, size: int) -> Iterator[keras.Model]:
    """The CNN, trained at each rate in turn."""
    splits = read_csv(root / "data/splits.csv")
    fitted, val, _ = samples.load_pictures(splits, root / "data/raw", size, "memory")
    for rate in rates:
        determinism.make_repeatable(42, deterministic=True)
        model = cnn.build(size, len(classes_of(splits)), batch_norm_momentum=0.9)
        schedule = Schedule(epochs, 32, rate, True, 42, dtype_policy=policy)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            training_loop.fit(model, fitted, val, schedule, checkpoint=Path(folder) / "training")
        yield model


def finetune(work: str, backbone_name: str, epochs: int, policy: str, size: int = 524) -> dict[str, Any]:
    """Embedding, head and test predictions; then, not timed, the test predictions of the whole model in Keras."""
    root, policy = Path(work), device.resolve_precision(policy)
    started = time.perf_counter()
    determinism.make_repeatable(42, deterministic=True)
    splits = read_csv(root / "data/splits.csv")
    backbone = feature_extractor.build(backbone_name, size, None, seed=42)
    engine = inference_engine.resolve_engine("auto", policy)
    network = inference_engine.compile_network(backbone, 8, policy=policy, engine=engine)
    vectors = extraction.embed(network, root / "data/raw", splits["path"].tolist(), image_size=size)
    data = select_vectors(splits, vectors)
    classifier = head.build(vectors.vectors.shape[1], 128, len(classes_of(splits)))
    training_loop.fit(classifier, data.train, data.val, Schedule(epochs, 32, 0.001, True, 42))
    test_paths = paths_of(splits, "test")
    predict = inference_engine.compile_network(classifier, 4096, policy="float32", engine="tensorflow")
    probabilities = predict(vectors.select(test_paths)[:])
    seconds = time.perf_counter() - started
    joined = head.join(backbone, classifier)
    files = [root / "data/raw" / path for path in test_paths]
    keras_probabilities = np.concatenate([joined.predict_on_batch(batch) for batch in prefetch_batches(files, size, 8)])
    return {
        "seconds": seconds,
        "precision": policy,
        "tested": len(test_paths),
        "same_class": int((probabilities.argmax(axis=1) == keras_probabilities.argmax(axis=1)).sum()),
        "probability_difference": float(np.abs(probabilities - keras_probabilities).max()),
    }
