"""What a random split adds: the test accuracy of heads and of the CNN on random and on grouped splits."""

import itertools
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.parts import pages
from benchmarks.parts.heads import trainer
from benchmarks.parts.photographs import Backbone, Photographs, Vectors
from benchmarks.parts.report_claim_tables import interval
from realwaste.core import log
from realwaste.core.files import read_json, write_json
from realwaste.dataset import capture_order, leakage, split
from realwaste.dataset.labels import labels_of, paths_of
from realwaste.images.reader import read_images
from realwaste.models import cnn
from realwaste.runtime import determinism, device, inference_engine
from realwaste.training import samples, training_loop
from realwaste.training.finetune import HeadTrainer, TrainVal
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule

SEEDS, SPLITS = (1, 2, 3, 4, 5), range(1, 11)
CNN_SIZE, CNN_EPOCHS = 96, 20
SIMILAR = 0.7  # cosine of two vectors
RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}
STRATEGIES = ("random", "grouped")
Table = dict[str, Any]


def make_split(photos: Photographs, strategy: str, seed: int) -> pd.DataFrame:
    """The manifest with a column `split`."""
    if strategy == "random":
        return split.stratified(photos.files, **RATIOS, seed=seed)
    return split.grouped(photos.files, photos.groups, **RATIOS, seed=seed)


def measure(photos: Photographs, backbone: Backbone) -> list[Table]:
    """A row for each strategy, means ± standard deviations over SEEDS; then the mean difference with its interval."""
    pairs, runs = _similar_neighbours(photos, backbone), _runs(photos, backbone)
    models = [name for name in runs if name != "exposed"]
    rows: list[list[Any]] = []
    for strategy in STRATEGIES:
        apart = []
        for seed in SPLITS:
            part = make_split(photos, strategy, seed)["split"].to_numpy()
            apart.append(100 * float(np.mean(part[pairs[:, 0]] != part[pairs[:, 1]])))
        exposed = [100 * run[strategy] for run in runs["exposed"]]
        shares = f"{statistics.mean(apart):.1f} %, at most {max(apart):.1f} %", f"{statistics.mean(exposed):.0f} %"
        accuracies = (pages.spread([run[strategy] for run in runs[name]]) for name in models)
        rows.append([strategy, *shares, *accuracies])
    gains = (list(interval([run["random"] - run["grouped"] for run in runs[name]])) for name in models)
    rows.append(["random minus grouped, 95 % interval", "", "", *gains])
    tested = int((make_split(photos, "random", 1)["split"] == "test").sum())
    heads = [f"split, {tested} test images", f"{len(pairs)} pairs of similar neighbours: in different parts"]
    return [{"heads": [*heads, "test images with a neighbour in training", *models], "rows": rows}]


def train_cnn(photos: Photographs) -> None:
    """Train the report's CNN for each seed and strategy that is not in the cache; a killed run resumes."""
    file = photos.cache / "cnn.json"
    runs = read_json(file) if file.is_file() else {}
    for seed, strategy in itertools.product(SEEDS, STRATEGIES):
        if f"{strategy} {seed}" not in runs:
            checkpoint = photos.cache / f"cnn_{strategy}_{seed}"
            runs[f"{strategy} {seed}"] = _cnn_accuracy(photos, make_split(photos, strategy, seed), seed, checkpoint)
            write_json(file, runs)
            for finished in photos.cache.glob(f"{checkpoint.name}.*"):
                finished.unlink()
            log.logger.info("the CNN, %s split, seed %d: %.3f", strategy, seed, runs[f"{strategy} {seed}"])


def _similar_neighbours(photos: Photographs, backbone: Backbone) -> NDArray[np.int64]:
    """Pairs of photographs one or two apart in capture order whose vectors are alike."""
    unit = photos.unit_vectors(backbone)
    steps = (capture_order.neighbor_pairs(photos.files["series"], photos.files["shot"], step) for step in (1, 2))
    pairs = np.array(list(itertools.chain.from_iterable(steps)))
    return pairs[(unit[pairs[:, 0]] * unit[pairs[:, 1]]).sum(axis=1) > SIMILAR]


def _runs(photos: Photographs, backbone: Backbone) -> dict[str, list[dict[str, float]]]:
    """For each seed and strategy: the exposure of the test images, and the accuracy of each model."""
    head, vectors, fit = f"a head on {backbone.name}", photos.vectors(backbone), trainer(len(photos.classes))
    runs: dict[str, list[dict[str, float]]] = {"exposed": [], head: []}
    for seed in SEEDS:
        splits = {strategy: make_split(photos, strategy, seed) for strategy in STRATEGIES}
        exposures = {name: leakage.measure_exposure(table, photos.near_duplicates) for name, table in splits.items()}
        runs["exposed"].append({name: exposure["neighbour_within_1"] for name, exposure in exposures.items()})
        parts = {name: table["split"].to_numpy() for name, table in splits.items()}
        runs[head].append({name: _head_accuracy(photos, vectors, part, fit, seed) for name, part in parts.items()})
    cached = read_json(file) if (file := photos.cache / "cnn.json").is_file() else {}
    if len(cached) == len(SEEDS) * len(STRATEGIES):
        name = f"the CNN at {CNN_SIZE} px"
        runs[name] = [{strategy: cached[f"{strategy} {seed}"] for strategy in STRATEGIES} for seed in SEEDS]
    return runs


def _head_accuracy(photos: Photographs, vectors: Vectors, part: NDArray[np.str_], fit: HeadTrainer, seed: int) -> float:
    data = TrainVal(*(Samples(vectors[part == name], photos.labels[part == name]) for name in ("train", "val")))
    predicted = np.asarray(fit.fit(data, seed, silent=True)[0](vectors[part == "test"])).argmax(axis=1)
    return float(np.mean(predicted == photos.labels[part == "test"]))


def _cnn_accuracy(photos: Photographs, splits: pd.DataFrame, seed: int, checkpoint: Path) -> float:
    determinism.make_repeatable(seed, deterministic=True)
    policy = device.resolve_precision("auto")
    train, val, _ = samples.load_pictures(splits, photos.root, CNN_SIZE, "memory")
    model = cnn.build(CNN_SIZE, len(photos.classes), batch_norm_momentum=0.9)
    schedule = Schedule(CNN_EPOCHS, 32, 0.001, True, seed, dtype_policy=policy)
    training_loop.fit(model, train, val, schedule, checkpoint=checkpoint)
    predict = inference_engine.compile_network(model, 32, policy=policy, engine="tensorflow")
    files = [photos.root / path for path in paths_of(splits, "test")]
    probabilities = predict(read_images(files, CNN_SIZE))
    return float(np.mean(probabilities.argmax(axis=1) == labels_of(splits, "test")))
