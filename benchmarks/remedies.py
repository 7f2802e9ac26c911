"""`python -m benchmarks.remedies --photos … --extractor …`: what options do to validation accuracy, over three seeds.

The test images are not looked at. The split is the same for all; a seed draws weights, order and augmentation.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from realwaste.backbone import feature_extractor
from realwaste.classifier import test_time_augmentation
from realwaste.classifier.probabilities import log_loss
from realwaste.compute import precision, repeatable
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import labels, manifest, split
from realwaste.embedding import local
from realwaste.evaluation import scores
from realwaste.finetuning import head, phases
from realwaste.inference import engines
from realwaste.network import cnn
from realwaste.network.augmentation import Augment
from realwaste.sources import dataset
from realwaste.sources.stand_ins import StandIns
from realwaste.training import batches, fitting, result, samples
from realwaste.training.samples import Samples

RESULTS = ROOT / "benchmarks/remedies.json"
PAGE = ROOT / "docs/results.md"
SEEDS = (42, 43, 44)
SIZE = 96
COMMAND = "python -m benchmarks.remedies"
Runs = list[dict[str, Any]]

_PLAIN = fitting.Schedule(20, 32, 0.001, True, 0)
_LONG = replace(_PLAIN, epochs=60)
_BEST = replace(_LONG, learning_rate=0.0003, decay="cosine")
_FLIP = Augment(flip=True)
CNNS: dict[str, tuple[fitting.Schedule, dict[str, Any]]] = {
    "the report's settings": (_PLAIN, {}),
    "60 epochs": (_LONG, {}),
    "patience of 8": (replace(_LONG, patience=8), {}),
    "label smoothing 0.1": (replace(_PLAIN, label_smoothing=0.1), {}),
    "dropout 0.5": (_PLAIN, {"dropout": 0.5}),
    "head of means": (_PLAIN, {"head": "gap"}),
    "flips": (_PLAIN, {"augment": _FLIP}),
    "60 epochs, 0.0003 falling as a cosine": (_BEST, {}),
    "flips, 60 epochs, 0.0003 falling as a cosine (`best`)": (_BEST, {"augment": _FLIP}),
}


@dataclass(frozen=True)
class Second:
    """The second phase of fine-tuning: how many layers of the backbone learn in it, and how."""

    layers: int
    learning_rate: float
    epochs: int = 10
    decay: str = "constant"
    augment: Augment = field(default_factory=Augment)


HEAD = fitting.Schedule(10, 32, 0.001, True, 0)
ENDS: dict[str, Second | None] = {
    "the report's settings: frozen": None,
    "10 layers, 0.0001": Second(10, 0.0001),
    "10 layers, 0.0001, flips": Second(10, 0.0001, augment=_FLIP),
    "20 layers, 0.00003 falling as a cosine, 15 epochs, flips, turns, zoom, colour": Second(
        20, 0.00003, 15, "cosine", Augment(flip=True, rotate=0.05, zoom=0.2, color=0.2)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, help="a folder, zip or URL with a folder of images a class")
    parser.add_argument("--extractor", required=True, type=Path, help="a .keras feature extractor")
    parser.add_argument("--extractor-size", type=int, default=260)
    arguments = parser.parse_args()
    log.setup()
    with tempfile.TemporaryDirectory(prefix="realwaste-remedies-") as folder:
        root = Path(folder) / "raw"
        stand_ins = StandIns()
        fetched = dataset.fetch(arguments.photos, root, sha256=None, seed=42, images_per_class=40, stand_ins=stand_ins)
        stand_ins.say()
        accepted, *_ = manifest.scan(root)
        splits = split.stratified(accepted, train=0.6, val=0.2, test=0.2, seed=42)
        counts = splits["split"].value_counts()
        policy = precision.resolve("auto")
        found: dict[str, Any] = {"dataset": fetched.dataset, "size": SIZE, "precision": policy, "seeds": list(SEEDS)}
        found |= {"train": int(counts["train"]), "val": int(counts["val"]), "extractor": arguments.extractor.name}
        found["cnn"] = _measured(CNNS, _cnns(root, splits, policy))
        found["end"] = _measured(ENDS, _ends(root, splits, policy, arguments.extractor, arguments.extractor_size))
        write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


def _measured(variants: dict[str, Any], run: Callable[[Any, int], dict[str, Any]]) -> dict[str, Runs]:
    found: dict[str, Runs] = {}
    for name, variant in variants.items():
        found[name] = []
        for seed in SEEDS:
            keras.utils.clear_session()
            repeatable.make_repeatable(seed, deterministic=True)
            found[name].append(run(variant, seed))
        log.logger.info("%s: validation accuracy %s", name, _spread(found[name], "val_accuracy"))
    return found


def _cnns(root: Path, splits: pd.DataFrame, policy: str) -> Callable[[Any, int], dict[str, Any]]:
    train, val, _ = samples.pictures(splits, root, SIZE, "memory")
    classes = len(labels.classes_of(splits))

    def run(variant: tuple[fitting.Schedule, dict[str, Any]], seed: int) -> dict[str, Any]:
        schedule, options = variant
        model = cnn.build(SIZE, classes, batch_norm_momentum=0.9, **options)
        trained = fitting.fit(model, train, val, replace(schedule, seed=seed, dtype_policy=policy))
        return trained.summary() | _flipped(model, val)

    return run


def _ends(
    root: Path, splits: pd.DataFrame, policy: str, extractor: Path, size: int
) -> Callable[[Any, int], dict[str, Any]]:
    seen = splits[splits["split"] != "test"]
    network = engines.network(_backbone(extractor, size), 8, policy=policy, engine=engines.resolve("auto", policy))
    vectors = local.embed(network, root, seen["path"].tolist(), image_size=size)
    cached, pictures = phases.vectors_of(splits, vectors), phases.pictures_of(splits, root, size)
    recipe = phases.Recipe(len(labels.classes_of(splits)), 128, HEAD, True)

    def run(second: Second | None, seed: int) -> dict[str, Any]:
        fitted, trained = phases.fit_head(cached, recipe, seed)
        if second is None:
            whole = head.join(_backbone(extractor, size), fitted)
        else:
            rate, decay = second.learning_rate, second.decay
            schedule = fitting.Schedule(second.epochs, 16, rate, True, seed, policy, decay=decay)
            end = phases.End(second.layers, schedule, second.augment, lambda: _backbone(extractor, size))
            whole, last = phases.fit_end(fitted, pictures, end)
            trained = result.joined(trained, last)
        return trained.summary() | _flipped(whole, pictures.val)

    return run


def _backbone(extractor: Path, size: int) -> keras.Model:
    return feature_extractor.build(str(extractor), size, None, seed=0)


def _flipped(model: keras.Model, val: Samples) -> dict[str, float]:
    """The validation figures of the model that looks at mirror images too."""
    flipping = test_time_augmentation.averaged(model, "both")
    asked = engines.network(flipping, 24, policy="float32", engine="tensorflow")
    answers = np.concatenate([asked(pixels) for pixels, _ in batches.ordered(val, batch_size=24)])
    return {
        "flipped_val_accuracy": round(scores.accuracy(val.labels, answers), 6),
        "flipped_val_loss": round(log_loss(val.labels, answers), 6),
    }


def table(found: dict[str, Any]) -> str:
    """The page's tables: means over the seeds, with standard deviations."""
    second = f"A head on `{found['extractor']}`, 10 epochs, and then its end with it:"
    return f"{_table('the CNN with', found['cnn'])}\n\n{second}\n\n{_table('the backbone', found['end'])}"


def _table(title: str, variants: dict[str, Runs]) -> str:
    keys = ("val_accuracy", "flipped_val_accuracy", "val_loss", "flipped_val_loss", "accuracy")
    rows = [
        [name, *("(smoothed)" if key == "val_loss" and "smoothing" in name else _spread(runs, key) for key in keys)]
        for name, runs in variants.items()
    ]
    heads = ["validation accuracy", "with mirror images", "validation loss", "with mirror images", "training accuracy"]
    return pages.table([title, *heads], rows)


def _spread(runs: Runs, key: str) -> str:
    return pages.spread([run[key] for run in runs])


if __name__ == "__main__":
    main()
