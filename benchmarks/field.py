"""`python -m benchmarks.field --photos … --extractor … [--outside FOLDER]`: what helps on other photographs.

Chosen at home: on grouped validation photographs of the set that the head learns from, as they are, and as if elsewhere
(benchmarks.parts.elsewhere); and, by heads that did not learn any photograph on such ground, on those of each kind of
background in turn. A seed draws split, weights and order. The photographs of --outside are asked once, by the default
and by the chosen set, whose choice they had no part in.
"""

import argparse
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import leakage as generated
from benchmarks.parts import arguments, backgrounds, pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.elsewhere import Elsewhere
from benchmarks.parts.variants import ALL, Embedder, Variant
from realwaste.backbone import feature_extractor
from realwaste.classifier.probabilities import log_loss
from realwaste.classifier.temperature_scaling import fitted_temperature, tempered
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import labels, leakage, manifest
from realwaste.embedding.embeddings import Embeddings, Vectors
from realwaste.evaluation import calibration, scores
from realwaste.finetuning import phases
from realwaste.images.reader import Pixels, resize
from realwaste.images.variation import Variation, View
from realwaste.shortcuts.views import frame
from realwaste.sources.published import COUNTS
from realwaste.training.fitting import Schedule

RESULTS = ROOT / "benchmarks/field.json"
COMMAND, PAGE = "python -m benchmarks.field", ROOT / "docs/realwaste.md"
_TOLD, _TOLD_OF = ("accuracy", "loss", "ece"), ("loss", "calibration error")
SEEDS = (42, 43, 44)
HEAD = Schedule(10, 32, 0.001, True, 0)
LOOK = Variation(crop=0.6, stretch=0.5, color=0.4, background=0.5, degrade=0.4)
LARGER = 380 / 260  # of --extractor-size
KINDS = 4  # of background, a class


DEFAULT, CHOSEN = "the defaults", "**`field`**: 4 views, dropout 0.7, the middle too, five heads"
VARIANTS = {
    DEFAULT: Variant(),
    "the middle at test too": Variant(crops="middle"),
    "dropout 0.7": Variant(dropout=0.7),
    "dropout 0.7, the middle too": Variant(dropout=0.7, crops="middle"),
    "the same, of pictures 1.46 times as large": Variant(dropout=0.7, crops="middle", larger=True),
    "1 view, dropout 0.7, the middle too": Variant(1, 0.7, crops="middle"),
    "4 views, dropout 0.7": Variant(4, 0.7),
    "4 views, dropout 0.7, mirrored at test": Variant(4, 0.7, "horizontal"),
    "4 views, dropout 0.7, the middle too": Variant(4, 0.7, crops="middle"),
    "4 views, dropout 0.7, the middle too, both mirrored": Variant(4, 0.7, *ALL),
    CHOSEN: Variant(4, 0.7, crops="middle", heads=5),
}


def main() -> None:
    parser = arguments.parser(COMMAND, __doc__)
    parser.add_argument("--kept", type=Path, help="a folder for this extractor's vectors, to go on from")
    parser.add_argument(
        "--outside", type=Path, help="a folder of other photographs, some classes of which are the same"
    )
    asked = parser.parse_args()
    log.setup()
    with nullcontext(asked.kept) if asked.kept else tempfile.TemporaryDirectory() as kept:
        found = _measured(asked, Path(kept))
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


def _measured(asked: argparse.Namespace, kept: Path) -> dict[str, Any]:
    root, size = asked.photos, asked.extractor_size
    embedders = {
        larger: Embedder(feature_extractor.build(str(asked.extractor), side, None, seed=0), side, kept, seen)
        for larger, side, seen in ((False, size, ALL), (True, round(LARGER * size), ("none", "middle")))
    }
    files = manifest.scan(root, COUNTS).manifest
    group = leakage.groups(files, generated.BLOCK)
    splits = {seed: generated.both_splits(files, group, seed)["grouped"] for seed in SEEDS}
    frames = embedders[False].of(root, files["path"].tolist(), _frame).vectors[:]
    kind = pd.Series(backgrounds.kinds(frames, files["label"].to_numpy(), group, KINDS), files["path"])
    found = {"photos": root.name, "extractor": asked.extractor.stem, "seeds": list(SEEDS)}
    found |= {f"{part}_images": int((splits[SEEDS[0]]["split"] == part).sum()) for part in ("train", "val")}
    found["kinds_of_background"] = np.bincount(kind).tolist()
    found["home"], heads = at_home(root, kind, splits, embedders)
    if asked.outside:
        found["outside"] = outside(asked.outside, labels.classes_of(files), embedders[False], heads)
    return found


@dataclass(frozen=True)
class Asked:
    """Photographs (n,) that heads are asked about: classes, kinds of background, and vectors (n, views, width)."""

    truth: NDArray[np.int64]
    kinds: NDArray[np.int64]
    seen: dict[str, Vectors]


Head = tuple[keras.Model, float]
Rows = dict[str, list[dict[str, float]]]


def at_home(
    root: Path, kind: "pd.Series[int]", splits: dict[int, pd.DataFrame], embedders: dict[bool, Embedder]
) -> tuple[Rows, dict[str, list[Head]]]:
    """Each variant's validation figures, a row a seed; and its heads with their temperatures.

    Args:
        kind: of background, by path, as of backgrounds.kinds.
        embedders: of photographs as they are, and larger.
    """
    rows: Rows = {name: [] for name in VARIANTS}
    heads: dict[str, list[Head]] = {name: [] for name in VARIANTS}
    views = {own.larger: 0 for own in VARIANTS.values()}
    for own in VARIANTS.values():
        views[own.larger] = max(views[own.larger], own.views)
    known = {large: _known(root, list(kind.index), splits, embedders[large], views[large]) for large in views}
    for learning in dict.fromkeys(own.learning() for own in VARIANTS.values()):
        learned, seen = known[learning.larger]
        for seed, split in splits.items():
            hidden = split["path"].map(kind)
            parts = [split, *(split[hidden != number] for number in range(kind.max() + 1))]
            fitted = [_fitted(part, learned[: 1 + learning.views], learning, seed) for part in parts]
            paths = labels.paths_of(split, "val")
            shown = {where: np.asarray(vectors.of(paths)[:]) for where, vectors in seen.items()}
            asked = Asked(labels.labels_of(split, "val"), kind[paths].to_numpy(), shown)
            for name, own in VARIANTS.items():
                if own.learning() == learning:
                    row = _row(own, embedders[own.larger], fitted, asked)
                    log.logger.info("%s: %s", name, row)
                    rows[name].append(row)
                    heads[name].append((fitted[0], row["temperature"]))
    return rows, heads


def _known(
    root: Path, paths: list[str], splits: dict[int, pd.DataFrame], embedder: Embedder, views: int
) -> tuple[list[Embeddings], dict[str, Embeddings]]:
    """What heads learn from, the photographs and views of them; and what they are asked about, as it is and changed."""
    asked = sorted({path for split in splits.values() for path in labels.paths_of(split, "val")})
    others = {folder.name: sorted(folder.iterdir()) for folder in sorted(root.iterdir()) if folder.is_dir()}
    looks = [None, *(View(LOOK, number) for number in range(views))]
    seen = {"val": embedder.seen(root, asked), "elsewhere": embedder.seen(root, asked, Elsewhere(others))}
    return [embedder.of(root, paths, look) for look in looks], seen


def _fitted(split: pd.DataFrame, learned: list[Embeddings], own: Variant, seed: int) -> keras.Model:
    keras.utils.clear_session()
    cached = phases.vectors_of(split, learned[0], learned[1:])
    recipe = phases.Recipe(len(labels.classes_of(split)), 128, HEAD, True, own.dropout, own.heads)
    return phases.fit_head(cached, recipe, seed, silent=True)[0]


def _row(own: Variant, embedder: Embedder, fitted: list[keras.Model], asked: Asked) -> dict[str, float]:
    """Figures of a head, fitted[0], and of one more for each kind of background, which it has not seen."""
    truth = asked.truth
    raw = {where: embedder.answers(fitted[0], own, vectors) for where, vectors in asked.seen.items()}
    temperature = fitted_temperature(truth, raw["val"])
    row = {"temperature": temperature}
    for where, answers in raw.items():
        row |= _figures(truth, tempered(answers, temperature), f"{where}_")
    found = np.empty_like(raw["val"])
    for number, model in enumerate(fitted[1:]):
        hidden = asked.kinds == number
        answers = embedder.answers(model, own, asked.seen["val"])
        found[hidden] = tempered(answers, fitted_temperature(truth[~hidden], answers[~hidden]))[hidden]
    return row | _figures(truth, found, "ground_")


def outside(folder: Path, classes: list[str], embedder: Embedder, heads: dict[str, list[Head]]) -> Rows:
    """The one reading of other photographs: those whose folder has a class's name, in small letters or large."""
    number = {name.casefold(): place for place, name in enumerate(classes)}
    files = [file for file in sorted(folder.glob("*/*")) if file.parent.name.casefold() in number]
    truth = np.array([number[file.parent.name.casefold()] for file in files])
    vectors = embedder.seen(folder, [file.relative_to(folder).as_posix() for file in files]).vectors[:]
    rows: Rows = {}
    for name in (DEFAULT, CHOSEN):
        rows[name] = []
        for model, temperature in heads[name]:
            answers = tempered(embedder.answers(model, VARIANTS[name], vectors), temperature)
            low, high = scores.accuracy_interval(truth, answers)
            rows[name].append(_figures(truth, answers, "") | {"images": len(files), "low": low, "high": high})
    return rows


def _frame(_: Path, image: Pixels, size: int) -> Pixels:
    return np.asarray(frame(resize(image, size)[np.newaxis])[0])


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
    keys = ["val_accuracy", *(f"{where}_{name}" for where in ("elsewhere", "ground") for name in _TOLD)]
    rows = [[name, *(_spread(runs, key) for key in keys)] for name, runs in found["home"].items()]
    heads = ["a head with", "validation accuracy", "as if elsewhere", *_TOLD_OF, "on unseen ground", *_TOLD_OF]
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
