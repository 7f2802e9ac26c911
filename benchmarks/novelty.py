"""`python -m benchmarks.novelty --photos … --extractor … [--outside …]`: does a model know what it does not know?

Each class of RealWaste's photographs is left out in turn, of head and CNN, on grouped splits: is what was left out told
from the test photographs of the classes that were learned? The pipeline's score was chosen by this. `--outside` names
photographs of another collection (TrashNet), read after the choice. And what probabilities mean, by several ways.
"""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.leakage import BLOCK, RATIOS
from benchmarks.parts import arguments, confidence, pages, unknown
from benchmarks.parts.child import ROOT
from benchmarks.parts.unknown import CHOSEN, Array, Known, Run
from realwaste.backbone import feature_extractor
from realwaste.classifier import features
from realwaste.compute import repeatable
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import leakage, manifest, split
from realwaste.evaluation import calibration, scores
from realwaste.finetuning import phases
from realwaste.images.reader import read_ahead
from realwaste.inference import engines
from realwaste.inference.engines import Network
from realwaste.network import cnn
from realwaste.sources.published import COUNTS
from realwaste.training import fitting
from realwaste.training.samples import Samples

RESULTS = ROOT / "benchmarks/novelty.json"
COMMAND, PAGE = "python -m benchmarks.novelty", ROOT / "docs/realwaste.md"
SEEDS, CNN_SEEDS, CNN_SIDE = (1, 2, 3, 4, 5), (1, 2), 64
SMOOTHING, SEVERAL = 0.1, 5
PLAIN = "largest probability"


def main() -> None:
    parser = arguments.parser(COMMAND, __doc__)
    parser.add_argument("--outside", type=Path, help="photographs of another collection, one folder a class")
    asked = parser.parse_args()
    log.setup()
    size, root = asked.extractor_size, asked.photos
    built = feature_extractor.build(str(asked.extractor), size, None, seed=0)
    model = engines.network(built, 16, policy="float32", engine="openvino")
    files = manifest.scan(root, COUNTS).manifest
    group = leakage.groups(files, BLOCK)
    at_home = Photographs(model, root, files, size, corrupted=True)
    parts = {seed: _parts(files, group, seed) for seed in SEEDS}
    found: dict[str, Any] = {"photos": root.name, "images": len(files), "extractor": asked.extractor.stem}
    found["left_out"] = _left_out(at_home, parts, group)
    found["left_out_cnn"] = _left_out_cnn(root, files, parts, group)
    outside = None
    if asked.outside is not None:
        outside = Photographs(model, asked.outside, manifest.scan(asked.outside).manifest, size, corrupted=False)
        found["outside"] = asked.outside.name
    found |= _whole(at_home, outside, parts, group)
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


class Photographs:
    """Vectors of a folder's photographs, and if asked for of the same as another camera or light may have them."""

    def __init__(self, model: Network, root: Path, files: pd.DataFrame, size: int, *, corrupted: bool) -> None:
        names = files["label"].str.capitalize() if not set(files["label"]) & set(COUNTS) else files["label"]
        self.labels: NDArray[np.str_] = names.to_numpy(dtype=np.str_)
        self.classes = np.unique(self.labels)
        chance, plain, changed = np.random.default_rng(0), [], []
        for pixels in read_ahead([root / path for path in files["path"]], size, 16):
            plain.append(model(pixels))
            if corrupted:
                changed.append(model(np.stack([confidence.corrupted(one, chance) for one in pixels])))
        self.vectors, self.changed = np.concatenate(plain), np.concatenate(changed or plain)


def _parts(files: pd.DataFrame, group: NDArray[np.int64], seed: int) -> NDArray[np.str_]:
    """train, val or test of each file."""
    made = split.grouped(files, group, **RATIOS, seed=seed).set_index("path")["split"]
    return made.loc[files["path"]].to_numpy(dtype=np.str_)


def _fit(
    home: Photographs, part: NDArray[np.str_], classes: NDArray[np.str_], seed: int, smoothing: float = 0
) -> Known:
    """A head as finetune has it, on vectors of these classes."""
    rows = [np.flatnonzero((part == name) & np.isin(home.labels, classes)) for name in ("train", "val")]
    own = phases.Parts(*(Samples(home.vectors[one], np.searchsorted(classes, home.labels[one])) for one in rows))
    schedule = fitting.Schedule(10, 32, 0.001, True, seed, label_smoothing=smoothing)
    recipe = phases.Recipe(len(classes), 128, schedule, True)
    return Known(phases.fit_head(own, recipe, seed)[0], own.train, own.val)


def _left_out(home: Photographs, parts: dict[int, Any], group: NDArray[np.int64]) -> dict[str, Any]:
    """Of each score and class: AUROC; the mean over classes of each seed; and how many the chosen threshold stops."""
    runs: dict[str, dict[str, list[Run]]] = {}
    stopped = []
    for seed, part in parts.items():
        for label in home.classes:
            known = _fit(home, part, home.classes[home.classes != label], seed)
            asked = np.flatnonzero((part == "test") | (home.labels == label))
            new = home.labels[asked] == label
            for name, score in unknown.scores(known, home.vectors[asked]).items():
                runs.setdefault(name, {}).setdefault(str(label), []).append(Run(score, new, group[asked]))
            score, threshold = _nearest(known, home.vectors[asked])
            stopped.append([float((score[new] > threshold).mean()), float((score[~new] > threshold).mean())])
        log.logger.info("seed %d", seed)
    return {"scores": _summary(runs), "stopped_unknown_and_known": np.mean(stopped, axis=0).tolist()}


def _summary(runs: dict[str, dict[str, list[Run]]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, of_class in runs.items():
        means = np.mean([[unknown.alone(run) for run in own] for own in of_class.values()], axis=0)
        told[name] = {
            "classes": {label: unknown.auroc(own) for label, own in of_class.items()},
            "seeds": means.tolist(),
        }
    return told


def _nearest(known: Known, vectors: Array) -> tuple[Array, float]:
    return unknown.nearest(np.asarray(known.train.inputs), np.asarray(known.val.inputs), vectors)


def _left_out_cnn(root: Path, files: pd.DataFrame, parts: dict[int, Any], group: NDArray[np.int64]) -> dict[str, Any]:
    """The same of the report's CNN at CNN_SIDE, by its largest probability and by what its last layer is given."""
    pictures = np.concatenate(list(read_ahead([root / path for path in files["path"]], CNN_SIDE, 64)))
    labels = files["label"].to_numpy(dtype=np.str_)
    runs: dict[str, dict[str, list[Run]]] = {}
    for seed in CNN_SEEDS:
        for label in np.unique(labels):
            repeatable.make_repeatable(seed, deterministic=True)
            classes, part = np.unique(labels[labels != label]), parts[seed]
            rows = {name: np.flatnonzero((part == name) & (labels != label)) for name in ("train", "val")}
            rows["asked"] = np.flatnonzero((part == "test") | (labels == label))
            train, val = (
                Samples(pictures[rows[name]], np.searchsorted(classes, labels[rows[name]])) for name in ("train", "val")
            )
            model = cnn.build(CNN_SIDE, len(classes), batch_norm_momentum=0.9)
            fitting.fit(model, train, val, fitting.Schedule(20, 32, 0.001, True, seed))
            extract, classify = (
                engines.network(part, 64, policy="float32", engine="tensorflow") for part in features.parts(model)
            )
            own = {name: extract(pictures[one]) for name, one in rows.items()}
            sure = classify(own["asked"]).max(axis=1)
            about = (labels[rows["asked"]] == label, group[rows["asked"]])
            strange = unknown.nearest(own["train"], own["val"], own["asked"])[0]
            for name, score in {PLAIN: -sure, "three nearest, hidden layer": strange}.items():
                runs.setdefault(name, {}).setdefault(str(label), []).append(Run(score, *about))
    return {"scores": _summary(runs)}


def _whole(
    home: Photographs, outside: Photographs | None, parts: dict[int, Any], group: NDArray[np.int64]
) -> dict[str, Any]:
    """Of heads that know every class: what is strange to them outside, and what their probabilities mean."""
    runs: dict[str, dict[str, list[Run]]] = {}
    stopped: dict[str, list[float]] = {}
    rows = []
    for seed, part in parts.items():
        several = [_fit(home, part, home.classes, 100 * seed + number) for number in range(1, SEVERAL)]
        known, test = _fit(home, part, home.classes, seed), np.flatnonzero(part == "test")
        smoothed = _fit(home, part, home.classes, seed, SMOOTHING)
        sets = {"test photographs": (home.vectors[test], home.labels[test])}
        sets["test photographs, corrupted"] = (home.changed[test], home.labels[test])
        if outside is not None:
            same = np.isin(outside.labels, home.classes)
            sets["outside"] = (outside.vectors[same], outside.labels[same])
            new = outside.vectors[~same]
            for against, usual, groups in (
                ("test photographs", home.vectors[test], group[test]),
                ("outside, known classes", outside.vectors[same], len(group) + np.flatnonzero(same)),
            ):
                about = np.repeat([False, True], [len(usual), len(new)])
                whose = np.concatenate([groups, len(group) + np.flatnonzero(~same)])
                for name, score in unknown.scores(known, np.concatenate([usual, new])).items():
                    runs.setdefault(name, {}).setdefault(against, []).append(Run(score, about, whose))
                stopped.setdefault(against, []).append(_stopped(known, usual))
            stopped.setdefault("outside, unknown classes", []).append(_stopped(known, new))
        ways = confidence.ways(known, smoothed, [known, *several])
        rows += [_meaning(way, ask(own), labels, home.classes, on) for on, (own, labels) in sets.items()
                 for way, ask in ways.items()]  # fmt: skip
    counts = {} if outside is None else {"outside_known": int(same.sum()), "outside_unknown": int((~same).sum())}
    means = {name: statistics.mean(own) for name, own in stopped.items()}
    return counts | {"outside_scores": _summary(runs), "stopped": means, "calibration": rows}


def _stopped(known: Known, vectors: Array) -> float:
    """The share of photographs that the chosen score's threshold stops."""
    score, threshold = _nearest(known, vectors)
    return float((score > threshold).mean())


def _meaning(way: str, answers: Array, labels: NDArray[np.str_], classes: NDArray[np.str_], on: str) -> dict[str, Any]:
    right = np.searchsorted(classes, labels)
    said = {"error": calibration.expected_error(right, answers), "accuracy": scores.accuracy(right, answers)}
    return {"way": way, "on": on, "images": len(right), "confidence": float(answers.max(axis=1).mean())} | said


def table(found: dict[str, Any]) -> str:
    """docs/realwaste.md's: AUROC by class left out, those outside, what the threshold stops, and calibration."""
    blocks = [
        _aurocs("head: class left out", found["left_out"]["scores"], "mean of the classes ± deviation over splits")
    ]
    blocks.append(_aurocs("CNN: class left out", found["left_out_cnn"]["scores"], "mean ± deviation over splits"))
    if found["outside_scores"]:
        blocks.append(_aurocs(f"{found['outside']}'s unknown classes against", found["outside_scores"], None))
    unknown_share, known_share = found["left_out"]["stopped_unknown_and_known"]
    stopped = {"a class left out": unknown_share, "its test photographs of the other classes": known_share}
    shares = [[name, f"{100 * share:.0f} %"] for name, share in (stopped | found["stopped"]).items()]
    blocks.append(pages.table(["called unlike anything learned (head)", ""], shares))
    return "\n\n".join([*blocks, _calibration(pd.DataFrame(found["calibration"]))])


def _aurocs(title: str, told: dict[str, Any], mean: str | None) -> str:
    classes = list(next(iter(told.values()))["classes"])
    rows = []
    for name, own in told.items():
        cells = ["{auroc:.2f} ({low:.2f} to {high:.2f})".format(**own["classes"][one]) for one in classes]
        strong = "**" if name == CHOSEN else ""
        rows.append([f"{strong}{name}{strong}", *cells, *([pages.spread(own["seeds"])] if mean else [])])
    return pages.table([title, *classes, *([mean] if mean else [])], rows)


def _calibration(rows: pd.DataFrame) -> str:
    counts = rows.groupby("on", sort=False)["images"].first()
    lines = []
    for way, own in rows.groupby("way", sort=False):
        cells = [own[own["on"] == on] for on in counts.index]
        told = [f"{one['confidence'].mean():.2f}, {one['accuracy'].mean():.2f}, {pages.spread(one['error'].tolist())}"
                for one in cells]  # fmt: skip
        lines.append([str(way), *told])
    heads = [f"{on} ({count})" for on, count in counts.items()]
    return pages.table(["probabilities: mean, accuracy, calibration error", *heads], lines)


if __name__ == "__main__":
    main()
