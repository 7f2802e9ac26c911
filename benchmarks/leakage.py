"""`python -m benchmarks.leakage`: what a random split adds to a test's accuracy.

Generated pictures, whose objects are known and stand in several pictures each, as RealWaste's do. Other pictures and
another split for each seed; both splits of a set are trained on alike.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from realwaste.backbone import feature_extractor
from realwaste.compute import repeatable
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import leakage, manifest, split
from realwaste.dataset.labels import classes_of, labels_of, paths_of
from realwaste.embedding import embeddings, local
from realwaste.evaluation import scores
from realwaste.finetuning import head
from realwaste.images.reader import read_many
from realwaste.inference import engines
from realwaste.network import cnn
from realwaste.sources import synthetic
from realwaste.training import fitting, samples
from realwaste.training.samples import Samples

RESULTS = ROOT / "benchmarks/leakage.json"
SEEDS = (1, 2, 3, 4, 5)
IMAGES_PER_CLASS, SIZE, EPOCHS = 60, 128, 20
RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}
BLOCK = 10
COMMAND, PAGE = "python -m benchmarks.leakage", ROOT / "docs/results.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leakage", description=__doc__)
    parser.add_argument("--extractor", type=Path, help="a .keras feature extractor, for a head beside the CNN")
    parser.add_argument("--extractor-size", type=int, default=260)
    arguments = parser.parse_args()
    log.setup()
    runs = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory(prefix="realwaste-leakage-") as folder:
            runs += _runs(Path(folder), seed, arguments.extractor, arguments.extractor_size)
    found = {"images": IMAGES_PER_CLASS * len(synthetic.CLASSES), "seeds": list(SEEDS), "runs": runs}
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


def _runs(root: Path, seed: int, extractor: Path | None, size: int) -> list[dict[str, Any]]:
    synthetic.generate(root, images_per_class=IMAGES_PER_CLASS, seed=seed)
    table, *_ = manifest.scan(root)
    near = leakage.near_duplicates(table)
    splits = both_splits(table, leakage.groups(table, BLOCK, near), seed)
    vectors = None
    if extractor is not None:
        model = feature_extractor.build(str(extractor), size, None, seed=0)
        network = engines.network(model, 16, policy="float32", engine="openvino")
        vectors = local.embed(network, root, table["path"].tolist(), image_size=size)
    runs = []
    for strategy, own in splits.items():
        row = {"seed": seed, "split": strategy, "objects_on_two_sides": _across(own, seed)} | leakage.exposure(
            own, near
        )
        row["test_images"] = int((own["split"] == "test").sum())
        row["cnn"] = cnn_accuracy(root, own, seed)
        if vectors is not None:
            row["head"] = head_accuracy(vectors, own, seed)
        log.logger.info("%s", row)
        runs.append(row)
    return runs


def both_splits(table: pd.DataFrame, group: NDArray[np.int64], seed: int) -> dict[str, pd.DataFrame]:
    """A random and a grouped split of the manifest, by RATIOS."""
    return {
        "random": split.stratified(table, **RATIOS, seed=seed),
        "grouped": split.grouped(table, group, **RATIOS, seed=seed),
    }


def _across(splits: pd.DataFrame, seed: int) -> int:
    """Objects whose pictures are in more than one part."""
    shown = {name: synthetic.reshot_groups(seed, n, IMAGES_PER_CLASS) for n, name in enumerate(synthetic.CLASSES)}
    objects = [f"{row.label} {shown[row.label][int(row.number) - 1]}" for row in splits.itertuples()]
    return int((splits["split"].groupby(np.array(objects)).nunique() > 1).sum())


def cnn_accuracy(root: Path, splits: pd.DataFrame, seed: int) -> float:
    """Test accuracy of the report's CNN at SIZE, in float32."""
    repeatable.make_repeatable(seed, deterministic=True)
    train, val, _ = samples.pictures(splits, root, SIZE, "memory")
    model = cnn.build(SIZE, len(classes_of(splits)), batch_norm_momentum=0.9)
    fitting.fit(model, train, val, fitting.Schedule(EPOCHS, 32, 0.001, True, seed))
    asked = engines.network(model, 32, policy="float32", engine="tensorflow")
    answers = asked(read_many([root / path for path in paths_of(splits, "test")], SIZE))
    return scores.accuracy(labels_of(splits, "test"), answers)


def head_accuracy(vectors: embeddings.Embeddings, splits: pd.DataFrame, seed: int) -> float:
    """Test accuracy of a head on cached vectors."""
    repeatable.make_repeatable(seed, deterministic=True)
    train, val = (Samples(vectors.of(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    model = head.build(vectors.vectors.shape[1], 128, len(classes_of(splits)))
    fitting.fit(model, train, val, fitting.Schedule(EPOCHS, 32, 0.001, True, seed))
    asked = engines.network(model, 4096, policy="float32", engine="tensorflow")
    answers = asked(vectors.of(paths_of(splits, "test"))[:])
    return scores.accuracy(labels_of(splits, "test"), answers)


def table(found: dict[str, Any]) -> str:
    """The page's table: means over the seeds, with standard deviations."""
    models = [key for key in ("cnn", "head") if key in found["runs"][0]]
    titles = {"cnn": "the CNN's test accuracy", "head": "that of a head on a pretrained extractor"}
    heads = ["split", "objects on two sides", "test images whose neighbour was trained on"]
    rows = []
    for strategy in ("random", "grouped"):
        own = [run for run in found["runs"] if run["split"] == strategy]
        cells = [
            strategy,
            f"{statistics.mean(run['objects_on_two_sides'] for run in own):.0f}",
            f"{100 * statistics.mean(run['neighbour_within_1'] for run in own):.0f} %",
            *(pages.spread([run[model] for run in own]) for model in models),
        ]
        rows.append(cells)
    rows.append(["the difference", "", "", *(f"**{difference(found['runs'], model)}**" for model in models)])
    return pages.table([*heads, *(titles[model] for model in models)], rows)


def difference(runs: list[dict[str, Any]], model: str) -> str:
    """By how much a random split is above a grouped one, mean and deviation over the seeds."""
    pairs: dict[int, list[float]] = {}
    for run in runs:
        pairs.setdefault(run["seed"], []).append(run[model])
    return pages.spread([random - grouped for random, grouped in pairs.values()])


if __name__ == "__main__":
    main()
