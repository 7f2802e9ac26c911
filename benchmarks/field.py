"""`python -m benchmarks.field --photos … --extractor … [--outside FOLDER]`: what helps on other photographs.

Chosen at home: on grouped validation photographs of the set that the head learns from, as they are, and as another
camera might have taken them on another ground. A seed draws split, weights and order. The photographs of --outside are
asked once, by the default and by the chosen set, whose choice they had no part in.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import leakage as generated
from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from realwaste.backbone import feature_extractor
from realwaste.classifier.probabilities import log_loss
from realwaste.classifier.temperature_scaling import fitted_temperature, tempered
from realwaste.compute import repeatable
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import labels, leakage, manifest
from realwaste.embedding import embeddings, local
from realwaste.evaluation import calibration, scores
from realwaste.finetuning import phases
from realwaste.images.reader import Look, Pixels, read, resize
from realwaste.images.variation import Variation, View
from realwaste.inference import engines
from realwaste.inference.engines import Network
from realwaste.sources.published import COUNTS
from realwaste.training.fitting import Schedule

RESULTS = ROOT / "benchmarks/field.json"
COMMAND, PAGE = "python -m benchmarks.field", ROOT / "docs/realwaste.md"
SEEDS = (42, 43, 44)
HEAD = Schedule(10, 32, 0.001, True, 0)
FLIPS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))  # test_flips: both
LOOKS = {
    "cut": Variation(crop=0.6, stretch=0.5, color=0.4),
    "ground": Variation(background=0.5),
    "degraded": Variation(degrade=0.4),
    "all": Variation(crop=0.6, stretch=0.5, color=0.4, background=0.5, degrade=0.4),
}


@dataclass(frozen=True)
class Variant:
    """What a head learns from beside the photographs (a key of LOOKS and how many views), its dropout, its flips."""

    look: str = "all"
    views: int = 0
    dropout: float = 0.0
    flips: bool = False


DEFAULT, CHOSEN = "the defaults", "**`field`**: all of these"
VARIANTS = {
    DEFAULT: Variant(),
    "dropout 0.7": Variant(dropout=0.7),
    "test flips": Variant(flips=True),
    "1 view, cut, stretched, in other colours": Variant("cut", 1),
    "1 view, half on another ground": Variant("ground", 1),
    "1 view, four in ten degraded": Variant("degraded", 1),
    "1 view with all of that": Variant("all", 1),
    "4 views with all of that": Variant("all", 4),
    "4 views, dropout 0.7": Variant("all", 4, 0.7),
    CHOSEN: Variant("all", 4, 0.7, True),
}


@dataclass(frozen=True)
class Elsewhere:
    """A photograph as it might look elsewhere; none of it is how views to learn from are changed.

    The frame of a photograph of another class lies around its middle; it is nearer or farther away, its light has
    another colour, and it has as few pixels as a phone's video.
    """

    others: dict[str, list[Path]]

    def __call__(self, path: Path, image: Pixels, size: int) -> Pixels:
        chance = np.random.default_rng([7, *path.name.encode()])
        other = sorted(set(self.others) - {path.parent.name})[chance.integers(len(self.others) - 1)]
        frame = read(self.others[other][chance.integers(len(self.others[other]))], size).astype(np.float32)
        side = np.abs(np.linspace(-1, 1, size)) / 0.76
        share = np.clip((1.3 - side[:, np.newaxis] ** 4 - side**4) / 0.6, 0, 1)[..., np.newaxis]
        mixed = share * resize(image, size) + (1 - share) * frame
        near, (left, top) = chance.uniform(0.75, 1.3), chance.uniform(-0.1, 0.1, 2) * size
        moved = np.array([[near, 0, (1 - near) * size / 2 + left], [0, near, (1 - near) * size / 2 + top]])
        seen = cv2.warpAffine(mixed, moved, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        lit = 255 * np.clip(seen / 255 * chance.uniform(0.8, 1.2, 3), 0, 1) ** chance.uniform(0.7, 1.4)
        few = resize(lit.astype(np.uint8), int(size * chance.uniform(0.4, 1)))
        return resize(few, size)


@dataclass(frozen=True)
class Flipped:
    """`look`, mirrored along these axes."""

    look: Look | None
    axes: tuple[int, ...]

    def __call__(self, path: Path, image: Pixels, size: int) -> Pixels:
        seen = self.look(path, image, size) if self.look else resize(image, size)
        return np.ascontiguousarray(np.flip(seen, self.axes))


@dataclass(frozen=True)
class Embedder:
    network: Network
    size: int

    def of(self, root: Path, paths: list[str], look: Look | None = None) -> embeddings.Embeddings:
        return local.embed(self.network, root, paths, image_size=self.size, view=look)

    def flipped(self, root: Path, paths: list[str], look: Look | None = None) -> list[embeddings.Embeddings]:
        return [self.of(root, paths, Flipped(look, axes)) for axes in FLIPS]


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="a folder of RealWaste's photographs, one a class")
    parser.add_argument("--extractor", required=True, type=Path, help="a .keras feature extractor")
    parser.add_argument("--extractor-size", type=int, default=260)
    parser.add_argument(
        "--outside", type=Path, help="a folder of other photographs, some classes of which are the same"
    )
    arguments = parser.parse_args()
    log.setup()
    root, size = arguments.photos, arguments.extractor_size
    model = feature_extractor.build(str(arguments.extractor), size, None, seed=0)
    embedder = Embedder(engines.network(model, 16, policy="float32", engine="openvino"), size)
    files = manifest.scan(root, COUNTS).manifest
    group = leakage.groups(files, leakage.near_duplicates(files), generated.BLOCK)
    splits = {seed: generated.both_splits(files, group, seed)["grouped"] for seed in SEEDS}
    found = {"photos": root.name, "extractor": arguments.extractor.stem, "seeds": list(SEEDS)}
    found |= {f"{part}_images": int((splits[SEEDS[0]]["split"] == part).sum()) for part in ("train", "val")}
    found["home"], heads = at_home(root, files["path"].tolist(), splits, embedder)
    if arguments.outside:
        found["outside"] = outside(arguments.outside, labels.classes_of(files), embedder, heads)
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


Head = tuple[keras.Model, float]


def at_home(
    root: Path, paths: list[str], splits: dict[int, pd.DataFrame], embedder: Embedder
) -> tuple[dict[str, list[dict[str, float]]], dict[str, list[Head]]]:
    """Each variant's validation figures, a row a seed; and its heads with their temperatures."""
    asked = sorted({path for split in splits.values() for path in labels.paths_of(split, "val")})
    others = {folder.name: sorted(folder.iterdir()) for folder in sorted(root.iterdir()) if folder.is_dir()}
    plain, seen = embedder.of(root, paths), {}
    seen["val"], seen["elsewhere"] = embedder.flipped(root, asked), embedder.flipped(root, asked, Elsewhere(others))
    needed = {look: max((own.views for own in VARIANTS.values() if own.look == look), default=0) for look in LOOKS}
    views = {
        look: [embedder.of(root, paths, View(how, number)) for number in range(needed[look])]
        for look, how in LOOKS.items()
    }
    rows: dict[str, list[dict[str, float]]] = {}
    heads: dict[str, list[Head]] = {}
    for name, own in VARIANTS.items():
        rows[name], heads[name] = [], []
        for seed, split in splits.items():
            keras.utils.clear_session()
            repeatable.make_repeatable(seed, deterministic=True)
            cached = phases.vectors_of(split, plain, views[own.look][: own.views])
            head, _ = phases.fit_head(cached, 128, len(others), replace(HEAD, seed=seed), own.dropout)
            truth, files = cached.val.labels, labels.paths_of(split, "val")
            answers = {where: _answers(head, [one.of(files) for one in seen[where]], own) for where in seen}
            temperature = fitted_temperature(truth, answers["val"])
            row = {"temperature": temperature}
            for where, raw in answers.items():
                row |= _figures(truth, tempered(raw, temperature), f"{where}_")
            rows[name].append(row)
            heads[name].append((head, temperature))
        log.logger.info("%s: %s", name, rows[name])
    return rows, heads


def outside(
    folder: Path, classes: list[str], embedder: Embedder, heads: dict[str, list[Head]]
) -> dict[str, list[dict[str, float]]]:
    """The one reading of other photographs: those whose folder has a class's name, in small letters or large."""
    number = {name.casefold(): place for place, name in enumerate(classes)}
    files = [file for file in sorted(folder.glob("*/*")) if file.parent.name.casefold() in number]
    paths = [file.relative_to(folder).as_posix() for file in files]
    truth = np.array([number[file.parent.name.casefold()] for file in files])
    vectors = [one.of(paths) for one in embedder.flipped(folder, paths)]
    rows: dict[str, list[dict[str, float]]] = {}
    for name in (DEFAULT, CHOSEN):
        rows[name] = []
        for head, temperature in heads[name]:
            answers = tempered(_answers(head, vectors, VARIANTS[name]), temperature)
            low, high = scores.accuracy_interval(truth, answers)
            rows[name].append(_figures(truth, answers, "") | {"images": len(files), "low": low, "high": high})
    return rows


def _answers(head: keras.Model, flipped: list[Any], own: Variant) -> NDArray[np.floating]:
    asked = flipped if own.flips else flipped[:1]
    answer = engines.network(head, 4096, policy="float32", engine="tensorflow")
    return np.mean([answer(vectors[:]) for vectors in asked], axis=0)


def _figures(truth: NDArray[np.int64], answers: NDArray[np.floating], prefix: str) -> dict[str, float]:
    own = {
        "accuracy": scores.accuracy(truth, answers),
        "loss": log_loss(truth, answers),
        "ece": calibration.expected_error(truth, answers),
        "confidence": float(answers.max(axis=1).mean()),
    }
    return {prefix + name: round(value, 6) for name, value in own.items()}


def table(found: dict[str, Any]) -> str:
    """The page's tables: means over the seeds, with standard deviations."""
    keys = [f"{where}_{name}" for where in ("val", "elsewhere") for name in ("accuracy", "loss")] + ["elsewhere_ece"]
    rows = [[name, *(_spread(runs, key) for key in keys)] for name, runs in found["home"].items()]
    heads = ["a head with", "validation accuracy", "loss", "accuracy as if elsewhere", "loss", "calibration error"]
    told = pages.table(heads, rows)
    if "outside" not in found:
        return told
    rows = [
        [
            name,
            _spread(runs, "accuracy"),
            ", ".join(f"{run['low']:.3f} to {run['high']:.3f}" for run in runs),
            *(_spread(runs, key) for key in ("ece", "confidence", "loss")),
        ]
        for name, runs in found["outside"].items()
    ]
    count = found["outside"][DEFAULT][0]["images"]
    heads = [f"{count} photographs from elsewhere", "accuracy", "95 % interval of each seed's", "calibration error"]
    return f"{told}\n\n{pages.table([*heads, 'mean confidence', 'loss'], rows)}"


def _spread(runs: list[dict[str, float]], key: str) -> str:
    return pages.spread([run[key] for run in runs])


if __name__ == "__main__":
    main()
