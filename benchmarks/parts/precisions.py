"""What bfloat16 does to test accuracy: the same splits and seeds in float32 and in the best precision here."""

from pathlib import Path
from typing import Any

import numpy as np

from realwaste.core.files import read_csv
from realwaste.dataset import split
from realwaste.dataset.labels import classes_of, labels_of, paths_of
from realwaste.embedding import embeddings, local_extraction
from realwaste.images.reader import read_many
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import determinism, device, inference_engine
from realwaste.training import head, samples, training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule


def heads(work: str, name: str, size: int, seeds: list[int]) -> dict[str, Any]:
    """A split and a head a seed, on vectors of both precisions; and what the whole saved model would have answered."""
    root = Path(work)
    manifest = read_csv(root / "data/splits.csv").drop(columns="split")
    plain = feature_extractor.build(name, size, None, seed=0)
    policies = {"float32": "float32", "best": device.resolve_precision("auto")}
    paths = manifest["path"].tolist()

    def embedded(policy: str, engine: str) -> embeddings.Embeddings:
        network = inference_engine.compile_network(plain, 8, policy=policy, engine=engine)
        return local_extraction.embed(network, root / "data/raw", paths, image_size=size)

    vectors = {
        key: embedded(policy, inference_engine.resolve_engine("auto", policy)) for key, policy in policies.items()
    }
    right: dict[str, list[np.ndarray]] = {key: [] for key in policies}
    whole: dict[str, dict[str, float]] = {key: {"same_class": 0, "probability_difference": 0} for key in policies}
    every = embedded("float32", "tensorflow")
    for seed in seeds:
        splits = split.stratified(manifest, train=0.6, val=0.2, test=0.2, seed=seed)
        for key, own in vectors.items():
            train, val = (Samples(own.select(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
            determinism.make_repeatable(seed, deterministic=True)
            model = head.build(own.vectors.shape[1], 128, len(classes_of(splits)))
            training_loop.fit(model, train, val, Schedule(10, 32, 0.001, True, seed))
            tested = paths_of(splits, "test")
            answer = inference_engine.compile_network(model, 4096, policy="float32", engine="tensorflow")
            answers = answer(own.select(tested)[:])
            right[key].append(answers.argmax(axis=1) == labels_of(splits, "test"))
            theirs = answer(every.select(tested)[:])
            whole[key]["same_class"] += int((answers.argmax(axis=1) == theirs.argmax(axis=1)).sum())
            difference = float(np.abs(answers - theirs).max())
            whole[key]["probability_difference"] = max(whole[key]["probability_difference"], difference)
    return _summary(right, policies["best"]) | {"whole": whole}


def cnns(work: str, seeds: list[int], epochs: int, size: int = 256) -> dict[str, Any]:
    """A split and a CNN a seed, trained in both precisions."""
    root, best = Path(work), device.resolve_precision("auto")
    manifest = read_csv(root / "data/splits.csv").drop(columns="split")
    right: dict[str, list[np.ndarray]] = {"float32": [], "best": []}
    for seed in seeds:
        splits = split.stratified(manifest, train=0.6, val=0.2, test=0.2, seed=seed)
        train, val, _ = samples.pictures(splits, root / "data/raw", size, "memory")
        for key, policy in (("float32", "float32"), ("best", best)):
            determinism.make_repeatable(seed, deterministic=True)
            model = cnn.build(size, len(classes_of(splits)), batch_norm_momentum=0.9)
            training_loop.fit(model, train, val, Schedule(epochs, 32, 0.001, True, seed, dtype_policy=policy))
            files = [root / "data/raw" / path for path in paths_of(splits, "test")]
            answers = inference_engine.compile_network(model, 32, policy=policy, engine="tensorflow")(
                read_many(files, size)
            )
            right[key].append(answers.argmax(axis=1) == labels_of(splits, "test"))
    return _summary(right, best)


def _summary(right: dict[str, list[np.ndarray]], best: str) -> dict[str, Any]:
    accuracies = {key: [float(part.mean()) for part in parts] for key, parts in right.items()}
    float32, low = (np.concatenate(right[key]) for key in ("float32", "best"))
    return {
        "precision": best,
        "float32_accuracies": accuracies["float32"],
        "best_accuracies": accuracies["best"],
        "answers": len(float32),
        "only_float32_right": int((float32 & ~low).sum()),
        "only_best_right": int((low & ~float32).sum()),
    }
