"""`python -m benchmarks.remedies --photos …`: what the CNN's options do to its validation accuracy, over three seeds.

The test images are not looked at. The split is the same for all; a seed draws weights, order and augmentation.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from benchmarks import pages
from benchmarks.child import ROOT
from realwaste import cnn, dataset, log, manifest, precision, samples, split, training
from realwaste.atomic import write_json
from realwaste.augmentation import Augment
from realwaste.samples import classes_of

RESULTS = ROOT / "benchmarks/remedies.json"
PAGE = ROOT / "docs/results.md"
SEEDS = (42, 43, 44)
SIZE = 96
COMMAND = "python -m benchmarks.remedies"

_PLAIN = training.Schedule(20, 32, 0.001, True, 0)
_LONG = replace(_PLAIN, epochs=60)
_BEST = replace(_LONG, learning_rate=0.0003, decay="cosine")
_FLIP = Augment(flip=True)
VARIANTS: dict[str, tuple[training.Schedule, dict[str, Any]]] = {
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remedies", description=__doc__)
    parser.add_argument("--photos", required=True, help="a folder, zip or URL with a folder of images a class")
    arguments = parser.parse_args()
    log.setup()
    with tempfile.TemporaryDirectory(prefix="realwaste-remedies-") as folder:
        root = Path(folder) / "raw"
        fetched = dataset.fetch(arguments.photos, root, sha256=None, seed=42, images_per_class=40)
        accepted, _ = manifest.scan(root)
        splits = split.stratified(accepted, train=0.6, val=0.2, test=0.2, seed=42)
        train, val, _ = samples.pictures(splits, root, SIZE, "memory")
        policy = precision.resolve("auto")
        found: dict[str, Any] = {"dataset": fetched.dataset, "size": SIZE, "precision": policy, "seeds": list(SEEDS)}
        found |= {"train": len(train.labels), "val": len(val.labels), "variants": {}}
        for name, (schedule, options) in VARIANTS.items():
            runs = []
            for seed in SEEDS:
                keras.utils.clear_session()
                training.make_repeatable(seed, deterministic=True)
                model = cnn.build(SIZE, len(classes_of(splits)), batch_norm_momentum=0.9, **options)
                own = replace(schedule, seed=seed, dtype_policy=policy)
                runs.append(training.fit(model, train, val, own).summary())
            found["variants"][name] = runs
            log.logger.info("%s: validation accuracy %s", name, _spread(runs, "val_accuracy"))
            write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


def table(found: dict[str, Any]) -> str:
    """The page's table: means over the seeds, with standard deviations."""
    rows = []
    for name, runs in found["variants"].items():
        loss = "(smoothed)" if "smoothing" in name else _spread(runs, "val_loss")
        rows.append([name, _spread(runs, "val_accuracy"), loss, _spread(runs, "accuracy")])
    return pages.table(["the CNN with", "validation accuracy", "validation loss", "training accuracy"], rows)


def _spread(runs: list[dict[str, Any]], key: str) -> str:
    return pages.spread([run[key] for run in runs])


if __name__ == "__main__":
    main()
