"""The pipeline's own code for the same jobs: what the stages call, on the same images."""

import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from realwaste.core.files import read_csv
from realwaste.dataset.labels import classes_of, labels_of, paths_of
from realwaste.embedding import local_extraction
from realwaste.images.reader import read_ahead
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import determinism, device, inference_engine
from realwaste.training import head, samples, training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule


def train(work: str, epochs: int, policy: str, size: int = 256) -> dict[str, Any]:
    root, policy = Path(work), device.resolve_precision(policy)
    started = time.perf_counter()
    determinism.make_repeatable(42, deterministic=True)
    splits = read_csv(root / "data/splits.csv")
    fitted, val, _ = samples.pictures(splits, root / "data/raw", size, "memory")
    model = cnn.build(size, len(classes_of(splits)), batch_norm_momentum=0.9)
    schedule = Schedule(epochs, 32, 0.001, True, 42, dtype_policy=policy)
    with tempfile.TemporaryDirectory(dir=root) as kept:
        training_loop.fit(model, fitted, val, schedule, checkpoint=Path(kept) / "training")
    tested = [root / "data/raw" / path for path in paths_of(splits, "test")]
    answer = inference_engine.compile_network(
        model, 32, policy=policy, engine=inference_engine.resolve_engine("auto", policy)
    )
    for batch in read_ahead(tested, size, 32):
        answer(batch)
    return {"seconds": time.perf_counter() - started, "precision": policy}


def sweep(work: str, epochs: int, rates: list[float], policy: str, size: int = 256) -> dict[str, Any]:
    root, policy = Path(work), device.resolve_precision(policy)
    started = time.perf_counter()
    splits = read_csv(root / "data/splits.csv")
    fitted, val, _ = samples.pictures(splits, root / "data/raw", size, "memory")
    for rate in rates:
        keras.utils.clear_session()
        determinism.make_repeatable(42, deterministic=True)
        model = cnn.build(size, len(classes_of(splits)), batch_norm_momentum=0.9)
        schedule = Schedule(epochs, 32, rate, True, 42, dtype_policy=policy)
        with tempfile.TemporaryDirectory(dir=root) as kept:
            training_loop.fit(model, fitted, val, schedule, checkpoint=Path(kept) / "training")
    return {"seconds": time.perf_counter() - started, "precision": policy}


def finetune(work: str, name: str, epochs: int, policy: str, size: int = 524) -> dict[str, Any]:
    """Embedding, head and test answers; then, untimed, what the whole saved model answers to the test images."""
    root, policy = Path(work), device.resolve_precision(policy)
    started = time.perf_counter()
    determinism.make_repeatable(42, deterministic=True)
    splits = read_csv(root / "data/splits.csv")
    plain = feature_extractor.build(name, size, None, seed=42)
    network = inference_engine.compile_network(
        plain, 8, policy=policy, engine=inference_engine.resolve_engine("auto", policy)
    )
    vectors = local_extraction.embed(network, root / "data/raw", splits["path"].tolist(), image_size=size)
    fitted, val = (Samples(vectors.select(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    classifier = head.build(vectors.vectors.shape[1], 128, len(classes_of(splits)))
    training_loop.fit(classifier, fitted, val, Schedule(epochs, 32, 0.001, True, 42))
    tested = paths_of(splits, "test")
    ours = inference_engine.compile_network(classifier, 4096, policy="float32", engine="tensorflow")(
        vectors.select(tested)[:]
    )
    seconds = time.perf_counter() - started
    whole = head.join(plain, classifier)
    files = [root / "data/raw" / path for path in tested]
    theirs = np.concatenate([whole.predict_on_batch(batch) for batch in read_ahead(files, size, 8)])
    return {
        "seconds": seconds,
        "precision": policy,
        "tested": len(tested),
        "same_class": int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum()),
        "probability_difference": float(np.abs(ours - theirs).max()),
    }
