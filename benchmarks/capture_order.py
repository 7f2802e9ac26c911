"""`python -m benchmarks.capture_order --photos … --extractor …`: RealWaste's capture order, and its effect on splits.

Needs photographs of RealWaste under their published names, all or a part. Which files look alike, by the extractor's
vectors: neighbours by number, or by the numbers sorted as text? And how much does the test accuracy gain from
neighbours in the training split?
"""

import argparse
import itertools
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

RESULTS = ROOT / "benchmarks/capture_order.json"
COMMAND, PAGE, FINDINGS = "python -m benchmarks.capture_order", ROOT / "README.md", ROOT / "docs/realwaste.md"
SIMILAR = 0.7  # cosine of two vectors
SPLITS = range(1, 11)
SEEDS = (1, 2, 3, 4, 5)
SIZE, EPOCHS = 128, 20
RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}
BLOCK = 10
_RANDOM_PAIRS = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="RealWaste's class folders, all or a part")
    parser.add_argument("--extractor", required=True, type=Path, help="a .keras feature extractor")
    parser.add_argument("--extractor-size", type=int, default=260)
    arguments = parser.parse_args()
    log.setup()
    root = arguments.photos
    order_test = manifest.scan(root).order
    files = manifest.scan(root, COUNTS).manifest
    extractor = feature_extractor.build(str(arguments.extractor), arguments.extractor_size, None, seed=0)
    size = arguments.extractor_size
    network = inference_engine.compile_network(extractor, 16, policy="float32", engine="openvino")
    vectors = local_extraction.embed(network, root, files["path"].tolist(), image_size=size)
    results = {"photos": root.name, "images": len(files), "extractor": arguments.extractor.stem, "tested": order_test}
    unit_vectors = np.asarray(vectors.vectors)
    unit_vectors = unit_vectors / np.linalg.norm(unit_vectors, axis=1, keepdims=True)
    near_duplicates = leakage.find_near_duplicates(files)
    group = leakage.assign_groups(files, BLOCK, near_duplicates)
    results["likeness"] = _likeness(files, unit_vectors)
    results["sides"] = _neighbours_across_parts(files, group, unit_vectors)
    results["runs"] = _runs(root, files, near_duplicates, group, vectors)
    write_json(RESULTS, results)
    pages.rewrite(PAGE, COMMAND, table(results))
    pages.rewrite(FINDINGS, COMMAND, findings(results))


def _likeness(table: pd.DataFrame, unit_vectors: NDArray[np.float32]) -> dict[str, dict[str, list[float]]]:
    """For each class and kind of pair: the number of pairs, their mean cosine, and its standard error."""
    by_number, by_order = (_pairs(table, table[column]) for column in ("number", "shot"))
    kinds = {"number alone": by_number - by_order, "order alone": by_order - by_number, "both": by_number & by_order}
    likeness: dict[str, dict[str, list[float]]] = {}
    for label, class_rows in table.groupby("label"):
        rng = np.random.default_rng(0)
        random_pairs = {tuple(rng.choice(class_rows.index, 2, replace=False)) for _ in range(_RANDOM_PAIRS)}
        likeness[str(label)] = {}
        for kind, pairs in {"at random": random_pairs, **kinds}.items():
            class_pairs = [(first, second) for first, second in pairs if first in class_rows.index]
            values = np.array([float(unit_vectors[first] @ unit_vectors[second]) for first, second in class_pairs])
            standard_error = float(values.std(ddof=1) / len(values) ** 0.5)
            likeness[str(label)][kind] = [len(values), float(values.mean()), standard_error]
    return likeness


def _pairs(table: pd.DataFrame, order: pd.Series) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in capture_order.neighbor_pairs(table["series"], order)}


def _neighbours_across_parts(
    table: pd.DataFrame, group: NDArray[np.int64], unit_vectors: NDArray[np.float32]
) -> dict[str, Any]:
    """The share of similar neighbours in capture order that are in different parts, for each split of SPLITS."""
    pairs_by_step = (capture_order.neighbor_pairs(table["series"], table["shot"], step) for step in (1, 2))
    neighbour_pairs = list(itertools.chain.from_iterable(pairs_by_step))
    similar = np.array([pair for pair in neighbour_pairs if unit_vectors[pair[0]] @ unit_vectors[pair[1]] > SIMILAR])
    shares: dict[str, list[float]] = {"random": [], "grouped": []}
    deviations = []
    for seed in SPLITS:
        splits = random_and_grouped_splits(table, group, seed)
        for strategy, part_table in splits.items():
            part = part_table["split"].to_numpy()
            shares[strategy].append(float(np.mean(part[similar[:, 0]] != part[similar[:, 1]])))
        shares_of_parts = pd.crosstab(table["label"], splits["grouped"]["split"], normalize="index")[list(RATIOS)]
        deviations.append(float((shares_of_parts - list(RATIOS.values())).abs().to_numpy().max()))
    result = {"alike": len(similar), "shares": shares, "classes_off": max(deviations)}
    return result | leakage.summarize_groups(table, group)


def _runs(
    root: Path,
    table: pd.DataFrame,
    near_duplicates: NDArray[np.int64],
    group: NDArray[np.int64],
    vectors: embeddings.Embeddings,
) -> list[dict[str, Any]]:
    """Test accuracies of the CNN and of a head, for both splits of each seed."""
    runs = []
    for seed in SEEDS:
        for strategy, strategy_splits in random_and_grouped_splits(table, group, seed).items():
            run = {"seed": seed, "split": strategy} | leakage.measure_exposure(strategy_splits, near_duplicates)
            run |= {
                "cnn": cnn_accuracy(root, strategy_splits, seed),
                "head": head_accuracy(vectors, strategy_splits, seed),
            }
            log.logger.info("%s", run)
            runs.append(run)
    return runs


def random_and_grouped_splits(table: pd.DataFrame, group: NDArray[np.int64], seed: int) -> dict[str, pd.DataFrame]:
    """A random and a grouped split of the manifest, with RATIOS."""
    return {
        "random": split.stratified(table, **RATIOS, seed=seed),
        "grouped": split.grouped(table, group, **RATIOS, seed=seed),
    }


def cnn_accuracy(root: Path, splits: pd.DataFrame, seed: int) -> float:
    """Test accuracy of the report's CNN at SIZE, in float32."""
    determinism.make_repeatable(seed, deterministic=True)
    train, val, _ = samples.load_pictures(splits, root, SIZE, "memory")
    model = cnn.build(SIZE, len(classes_of(splits)), batch_norm_momentum=0.9)
    training_loop.fit(model, train, val, Schedule(EPOCHS, 32, 0.001, True, seed))
    predict = inference_engine.compile_network(model, 32, policy="float32", engine="tensorflow")
    probabilities = predict(read_images([root / path for path in paths_of(splits, "test")], SIZE))
    return scores.accuracy(labels_of(splits, "test"), probabilities)


def head_accuracy(vectors: embeddings.Embeddings, splits: pd.DataFrame, seed: int) -> float:
    """Test accuracy of a head on cached vectors."""
    determinism.make_repeatable(seed, deterministic=True)
    train, val = (Samples(vectors.select(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    model = head.build(vectors.vectors.shape[1], 128, len(classes_of(splits)))
    training_loop.fit(model, train, val, Schedule(EPOCHS, 32, 0.001, True, seed))
    predict = inference_engine.compile_network(model, 4096, policy="float32", engine="tensorflow")
    probabilities = predict(vectors.select(paths_of(splits, "test"))[:])
    return scores.accuracy(labels_of(splits, "test"), probabilities)


def table(results: dict[str, Any]) -> str:
    """The README's table: means over the seeds, with standard deviations."""
    rows = []
    for strategy in ("random", "grouped"):
        runs = [run for run in results["runs"] if run["split"] == strategy]
        shares = results["sides"]["shares"][strategy]
        rows.append(
            [
                strategy,
                f"{100 * statistics.mean(shares):.1f} %",
                f"{100 * statistics.mean(run['neighbour_within_1'] for run in runs):.0f} %",
                *(pages.spread([run[model] for run in runs]) for model in ("cnn", "head")),
            ]
        )
    rows.append(["the difference", "", "", *(f"**{split_difference(results['runs'], m)}**" for m in ("cnn", "head"))])
    heads = ["split", "similar neighbours in different parts", "test images with a neighbour in training"]
    return pages.table([*heads, "the CNN's test accuracy", f"that of a head on {results['extractor']}"], rows)


def split_difference(runs: list[dict[str, Any]], model: str) -> str:
    """Accuracy on the random split minus the grouped one: mean and standard deviation over the seeds."""
    pairs: dict[int, list[float]] = {}
    for run in runs:
        pairs.setdefault(run["seed"], []).append(run[model])
    return pages.spread([random - grouped for random, grouped in pairs.values()])


def findings(results: dict[str, Any]) -> str:
    """The tables of docs/realwaste.md: mean cosines of pairs, with standard errors, and the groups."""
    kinds = ["at random", "number alone", "order alone", "both"]
    rows = [
        [label, *(f"{values[kind][1]:.2f} ± {values[kind][2]:.2f} ({values[kind][0]})" for kind in kinds)]
        for label, values in results["likeness"].items()
    ]
    sides, order_test = results["sides"], results["tested"]
    by_text, by_number = order_test["text_alone_likeness"], order_test["numeric_alone_likeness"]
    facts = [
        [
            "colour similarity of neighbours by text order only, and by number only",
            f"{by_text:.3f} and {by_number:.3f}",
        ],
        ["p of the permutation test that the first is not greater", f"{order_test['p']:.2g}"],
        ["similar neighbours: one or two photographs apart, cosine above 0.7", str(sides["alike"])],
    ]
    for name, values in sides["shares"].items():
        text = f"{100 * statistics.mean(values):.1f} %, at most {100 * max(values):.1f} %"
        facts.append([f"of these in different parts, {name}, over {len(values)} splits", text])
    largest = f"{sides['largest_group']} photographs, {100 * sides['largest_share_of_a_class']:.1f} % of a class"
    facts.append([f"largest of {sides['groups']} groups", largest])
    facts.append(["largest deviation of a class's share of a part", f"{100 * sides['classes_off']:.1f} points"])
    heads = ["class", "two files at random", "neighbours by number only", "by capture order only", "by both"]
    return f"{pages.table(heads, rows)}\n\n{pages.table(['measured', ''], facts)}"


if __name__ == "__main__":
    main()
