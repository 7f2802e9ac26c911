"""`python -m benchmarks.shooting_order --photos … --extractor …`: RealWaste's order of shooting, and what it is worth.

On photographs of RealWaste under their published names, all or a part. Which files look alike, by the extractor's
vectors: neighbours by number, or by the numbers sorted as text? And what does a test gain from neighbours in training?
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import capture_order, leakage, manifest, split
from realwaste.dataset.labels import classes_of, labels_of, paths_of
from realwaste.embedding import embeddings, local_extraction
from realwaste.evaluation import scores
from realwaste.images.reader import read_images
from realwaste.models import cnn, feature_extractor
from realwaste.runtime import determinism, inference_engine
from realwaste.sources.realwaste_files import COUNTS
from realwaste.training import head, samples, training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule

RESULTS = ROOT / "benchmarks/shooting_order.json"
COMMAND, PAGE, FINDINGS = "python -m benchmarks.shooting_order", ROOT / "README.md", ROOT / "docs/realwaste.md"
ALIKE = 0.7  # cosine of two vectors
SPLITS = range(1, 11)
SEEDS = (1, 2, 3, 4, 5)
SIZE, EPOCHS = 128, 20
RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}
BLOCK = 10
_RANDOM_PAIRS = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="a folder of RealWaste's photographs, one a class")
    parser.add_argument("--extractor", required=True, type=Path, help="a .keras feature extractor")
    parser.add_argument("--extractor-size", type=int, default=260)
    asked = parser.parse_args()
    log.setup()
    root = asked.photos
    tested = manifest.scan(root).order
    files = manifest.scan(root, COUNTS).manifest
    model = feature_extractor.build(str(asked.extractor), asked.extractor_size, None, seed=0)
    size = asked.extractor_size
    network = inference_engine.compile_network(model, 16, policy="float32", engine="openvino")
    vectors = local_extraction.embed(network, root, files["path"].tolist(), image_size=size)
    found = {"photos": root.name, "images": len(files), "extractor": asked.extractor.stem, "tested": tested}
    unit = np.asarray(vectors.vectors)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    near = leakage.near_duplicates(files)
    group = leakage.groups(files, BLOCK, near)
    found |= {"likeness": _likeness(files, unit), "sides": _sides(files, group, unit)}
    found["runs"] = _runs(root, files, near, group, vectors)
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))
    pages.rewrite(FINDINGS, COMMAND, findings(found))


def _likeness(table: pd.DataFrame, unit: NDArray[np.float32]) -> dict[str, dict[str, list[float]]]:
    """For each class and kind of pair: how many, the mean of their cosines, and its standard error."""
    by_number, by_order = (_pairs(table, table[column]) for column in ("number", "shot"))
    kinds = {"number alone": by_number - by_order, "order alone": by_order - by_number, "both": by_number & by_order}
    told: dict[str, dict[str, list[float]]] = {}
    for label, own in table.groupby("label"):
        chance = np.random.default_rng(0)
        drawn = {tuple(chance.choice(own.index, 2, replace=False)) for _ in range(_RANDOM_PAIRS)}
        told[str(label)] = {}
        for kind, pairs in {"at random": drawn, **kinds}.items():
            values = np.array([float(unit[one] @ unit[other]) for one, other in pairs if one in own.index])
            told[str(label)][kind] = [len(values), float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)]
    return told


def _pairs(table: pd.DataFrame, order: pd.Series) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in capture_order.before(table["series"], order)}


def _sides(table: pd.DataFrame, group: NDArray[np.int64], unit: NDArray[np.float32]) -> dict[str, Any]:
    """The share of alike shot neighbours that are on two sides, of ten splits each."""
    near = [pair for step in (1, 2) for pair in capture_order.before(table["series"], table["shot"], step)]
    alike = np.array([pair for pair in near if unit[pair[0]] @ unit[pair[1]] > ALIKE])
    shares: dict[str, list[float]] = {"random": [], "grouped": []}
    off = []
    for seed in SPLITS:
        splits = both_splits(table, group, seed)
        for strategy, own in splits.items():
            part = own["split"].to_numpy()
            shares[strategy].append(float(np.mean(part[alike[:, 0]] != part[alike[:, 1]])))
        of_classes = pd.crosstab(table["label"], splits["grouped"]["split"], normalize="index")[list(RATIOS)]
        off.append(float((of_classes - list(RATIOS.values())).abs().to_numpy().max()))
    return {"alike": len(alike), "shares": shares, "classes_off": max(off)} | leakage.group_sizes(table, group)


def _runs(
    root: Path,
    table: pd.DataFrame,
    near: NDArray[np.int64],
    group: NDArray[np.int64],
    vectors: embeddings.Embeddings,
) -> list[dict[str, Any]]:
    """Test accuracies of the CNN and of a head, on both splits of each seed."""
    runs = []
    for seed in SEEDS:
        for strategy, own in both_splits(table, group, seed).items():
            row = {"seed": seed, "split": strategy} | leakage.exposure(own, near)
            row |= {"cnn": cnn_accuracy(root, own, seed), "head": head_accuracy(vectors, own, seed)}
            log.logger.info("%s", row)
            runs.append(row)
    return runs


def both_splits(table: pd.DataFrame, group: NDArray[np.int64], seed: int) -> dict[str, pd.DataFrame]:
    """A random and a grouped split of the manifest, by RATIOS."""
    return {
        "random": split.stratified(table, **RATIOS, seed=seed),
        "grouped": split.grouped(table, group, **RATIOS, seed=seed),
    }


def cnn_accuracy(root: Path, splits: pd.DataFrame, seed: int) -> float:
    """Test accuracy of the report's CNN at SIZE, in float32."""
    determinism.make_repeatable(seed, deterministic=True)
    train, val, _ = samples.pictures(splits, root, SIZE, "memory")
    model = cnn.build(SIZE, len(classes_of(splits)), batch_norm_momentum=0.9)
    training_loop.fit(model, train, val, Schedule(EPOCHS, 32, 0.001, True, seed))
    asked = inference_engine.compile_network(model, 32, policy="float32", engine="tensorflow")
    answers = asked(read_images([root / path for path in paths_of(splits, "test")], SIZE))
    return scores.accuracy(labels_of(splits, "test"), answers)


def head_accuracy(vectors: embeddings.Embeddings, splits: pd.DataFrame, seed: int) -> float:
    """Test accuracy of a head on cached vectors."""
    determinism.make_repeatable(seed, deterministic=True)
    train, val = (Samples(vectors.select(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    model = head.build(vectors.vectors.shape[1], 128, len(classes_of(splits)))
    training_loop.fit(model, train, val, Schedule(EPOCHS, 32, 0.001, True, seed))
    asked = inference_engine.compile_network(model, 4096, policy="float32", engine="tensorflow")
    answers = asked(vectors.select(paths_of(splits, "test"))[:])
    return scores.accuracy(labels_of(splits, "test"), answers)


def table(found: dict[str, Any]) -> str:
    """The README's table: means over the seeds, with standard deviations."""
    rows = []
    for strategy in ("random", "grouped"):
        own = [run for run in found["runs"] if run["split"] == strategy]
        shares = found["sides"]["shares"][strategy]
        rows.append(
            [
                strategy,
                f"{100 * statistics.mean(shares):.1f} %",
                f"{100 * statistics.mean(run['neighbour_within_1'] for run in own):.0f} %",
                *(pages.spread([run[model] for run in own]) for model in ("cnn", "head")),
            ]
        )
    rows.append(["the difference", "", "", *(f"**{difference(found['runs'], m)}**" for m in ("cnn", "head"))])
    heads = ["split", "alike neighbours on two sides", "test images whose neighbour was trained on"]
    return pages.table([*heads, "the CNN's test accuracy", f"that of a head on {found['extractor']}"], rows)


def difference(runs: list[dict[str, Any]], model: str) -> str:
    """By how much a random split is above a grouped one, mean and deviation over the seeds."""
    pairs: dict[int, list[float]] = {}
    for run in runs:
        pairs.setdefault(run["seed"], []).append(run[model])
    return pages.spread([random - grouped for random, grouped in pairs.values()])


def findings(found: dict[str, Any]) -> str:
    """The tables of docs/realwaste.md: mean cosines of pairs, with standard errors, and the groups."""
    kinds = ["at random", "number alone", "order alone", "both"]
    rows = [
        [label, *(f"{own[kind][1]:.2f} ± {own[kind][2]:.2f} ({own[kind][0]})" for kind in kinds)]
        for label, own in found["likeness"].items()
    ]
    sides, tested = found["sides"], found["tested"]
    by_text, by_number = tested["text_alone_likeness"], tested["numeric_alone_likeness"]
    facts = [
        ["likeness in colour, neighbours by text alone and by number alone", f"{by_text:.3f} and {by_number:.3f}"],
        ["p of the permutation test that the first is no greater", f"{tested['p']:.2g}"],
        ["alike neighbours: one or two apart, cosine above 0.7", str(sides["alike"])],
    ]
    for name, own in sides["shares"].items():
        told = f"{100 * statistics.mean(own):.1f} %, at most {100 * max(own):.1f} %"
        facts.append([f"of them on two sides, {name}, over {len(own)} splits", told])
    largest = f"{sides['largest_group']} photographs, {100 * sides['largest_share_of_a_class']:.1f} % of a class"
    facts.append([f"the largest of {sides['groups']} groups", largest])
    facts.append(["a class's share of a part is off by at most", f"{100 * sides['classes_off']:.1f} points"])
    heads = ["class", "two files at random", "neighbours by number alone", "by shooting order alone", "by both"]
    return f"{pages.table(heads, rows)}\n\n{pages.table(['measured', ''], facts)}"


if __name__ == "__main__":
    main()
