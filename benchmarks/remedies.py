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
import pandas as pd

from benchmarks import pages
from benchmarks.child import ROOT
from realwaste import (
    backbone,
    batches,
    cnn,
    dataset,
    embedding,
    finetuning,
    fused,
    head,
    log,
    manifest,
    precision,
    predictions,
    samples,
    scores,
    split,
    training,
    views,
)
from realwaste.atomic import write_json
from realwaste.augmentation import Augment
from realwaste.finetuning import Parts
from realwaste.samples import Samples, labels_of, paths_of
from realwaste.stand_ins import StandIns

RESULTS = ROOT / "benchmarks/remedies.json"
PAGE = ROOT / "docs/results.md"
SEEDS = (42, 43, 44)
SIZE = 96
COMMAND = "python -m benchmarks.remedies"
Runs = list[dict[str, Any]]

_PLAIN = training.Schedule(20, 32, 0.001, True, 0)
_LONG = replace(_PLAIN, epochs=60)
_BEST = replace(_LONG, learning_rate=0.0003, decay="cosine")
_FLIP = Augment(flip=True)
CNNS: dict[str, tuple[training.Schedule, dict[str, Any]]] = {
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
class End:
    """The second phase of fine-tuning: how many layers of the backbone learn in it, and how."""

    layers: int
    learning_rate: float
    epochs: int = 10
    decay: str = "constant"
    augment: Augment = field(default_factory=Augment)


HEAD = training.Schedule(10, 32, 0.001, True, 0)
ENDS: dict[str, End | None] = {
    "the report's settings: frozen": None,
    "10 layers, 0.0001": End(10, 0.0001),
    "10 layers, 0.0001, flips": End(10, 0.0001, augment=_FLIP),
    "20 layers, 0.00003 falling as a cosine, 15 epochs, flips, turns, zoom, colour": End(
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
        accepted, _ = manifest.scan(root)
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
            training.make_repeatable(seed, deterministic=True)
            found[name].append(run(variant, seed))
        log.logger.info("%s: validation accuracy %s", name, _spread(found[name], "val_accuracy"))
    return found


def _cnns(root: Path, splits: pd.DataFrame, policy: str) -> Callable[[Any, int], dict[str, Any]]:
    train, val, _ = samples.pictures(splits, root, SIZE, "memory")
    classes = len(samples.classes_of(splits))

    def run(variant: tuple[training.Schedule, dict[str, Any]], seed: int) -> dict[str, Any]:
        schedule, options = variant
        model = cnn.build(SIZE, classes, batch_norm_momentum=0.9, **options)
        trained = training.fit(model, train, val, replace(schedule, seed=seed, dtype_policy=policy))
        return trained.summary() | _flipped(model, val)

    return run


def _ends(
    root: Path, splits: pd.DataFrame, policy: str, extractor: Path, size: int
) -> Callable[[Any, int], dict[str, Any]]:
    seen = splits[splits["split"] != "test"]
    built = backbone.build(str(extractor), size, None, seed=0)
    vectors = embedding.embed(fused.twin(built, policy), root, seen["path"].tolist(), image_size=size, batch_size=8)
    cached = Parts(*(Samples(vectors.of(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val")))
    pictures = Parts(*samples.pictures(splits, root, size, "memory")[:2])
    classes = len(samples.classes_of(splits))

    def run(end: End | None, seed: int) -> dict[str, Any]:
        fitted, trained = finetuning.fit_head(cached, 128, classes, replace(HEAD, seed=seed))
        network = backbone.build(str(extractor), size, None, seed=0)
        whole = head.join(network, fitted)
        if end is not None:
            schedule = training.Schedule(end.epochs, 16, end.learning_rate, True, seed, policy, decay=end.decay)
            whole, second = finetuning.fit_end(network, fitted, pictures, schedule, end=end.layers, augment=end.augment)
            trained = training.joined(trained, second)
        return trained.summary() | _flipped(whole, pictures.val)

    return run


def _flipped(model: keras.Model, val: Samples) -> dict[str, float]:
    """The validation figures of the model that looks at mirror images too."""
    asked = views.averaged(model, "both")
    answers = predictions.of_batches(asked, (pixels for pixels, _ in batches.ordered(val, batch_size=24)))
    return {
        "flipped_val_accuracy": round(scores.accuracy(val.labels, answers), 6),
        "flipped_val_loss": round(scores.log_loss(val.labels, answers), 6),
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
