"""`python -m benchmarks.cnn_accuracy --photos …`: why the report's CNN scores lower here than in the report.

Each variant changes one of the report's settings, and is trained with three seeds on one random split. Only validation
images are used. A killed run resumes after the last finished training.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.report_claim_tables import interval
from realwaste.core import log
from realwaste.core.files import read_json, write_json
from realwaste.dataset import manifest, split
from realwaste.dataset.labels import classes_of
from realwaste.models import cnn
from realwaste.runtime import determinism, device
from realwaste.training import samples, training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule

COMMAND = "python -m benchmarks.cnn_accuracy"
RESULTS, PAGE = ROOT / "benchmarks/cnn_accuracy.json", ROOT / "docs/report.md"
SEEDS, SIZE, EPOCHS, BATCH = (42, 43, 44), 96, 20, 32
REPORTED = {"momentum": 0.99, "shuffle": False, "rate": 0.001}
VARIANTS: dict[str, dict[str, Any]] = {
    "the report's": {},
    "batch-norm momentum 0.9 instead of 0.99": {"momentum": 0.9},
    "shuffled instead of one order": {"shuffle": True},
    "learning rate 0.0001 instead of 0.001": {"rate": 0.0001},
}
MEASURES = {
    "last": ("validation accuracy, last epoch", lambda history: history["val_accuracy"].iloc[-1]),
    "swing": ("largest minus smallest, last five epochs", lambda history: np.ptp(history["val_accuracy"].iloc[-5:])),
    "best": ("best epoch", lambda history: history["val_accuracy"].max()),
    "loss": ("lowest validation loss", lambda history: history["val_loss"].min()),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="a folder with a subfolder of photographs per class")
    arguments = parser.parse_args()
    log.setup()
    splits = split.stratified(manifest.scan(arguments.photos).manifest, train=0.6, val=0.2, test=0.2, seed=42)
    images = {str(part): int(count) for part, count in splits["split"].value_counts().items()}
    record: dict[str, Any] = {"photos": arguments.photos.name, "images": images, "size": SIZE, "epochs": EPOCHS}
    record |= {"classes": len(classes_of(splits)), "precision": device.resolve_precision("auto")}
    saved = read_json(RESULTS) if RESULTS.is_file() else {}
    fits = saved["fits"] if {key: saved.get(key) for key in record} == record else {}
    train, val, _ = samples.load_pictures(splits, arguments.photos, SIZE, "memory")
    for seed, (name, changes) in itertools.product(SEEDS, VARIANTS.items()):
        if str(seed) not in fits.setdefault(name, {}):
            fits[name][str(seed)] = fit(train, val, record, seed, **REPORTED | changes)
            write_json(RESULTS, record | {"fits": fits})
    pages.rewrite(PAGE, COMMAND, table(record | {"fits": fits}))


def fit(
    train: Samples, val: Samples, record: dict[str, Any], seed: int, *, momentum: float, shuffle: bool, rate: float
) -> dict[str, float]:
    """Train the CNN; the values of MEASURES."""
    keras.utils.clear_session()
    determinism.make_repeatable(seed, deterministic=True)
    model = cnn.build(SIZE, record["classes"], batch_norm_momentum=momentum)
    schedule = Schedule(EPOCHS, BATCH, rate, shuffle, seed, dtype_policy=record["precision"])
    history = training_loop.fit(model, train, val, schedule, silent=True).history
    measured = {key: round(float(measure(history)), 5) for key, (_, measure) in MEASURES.items()}
    log.logger.info("momentum %g, shuffle %s, rate %g, seed %d: %s", momentum, shuffle, rate, seed, measured)
    return measured


def table(record: dict[str, Any]) -> str:
    """A row for each variant: means ± standard deviations over the seeds, and the gain with its 95 % interval."""
    values = {
        name: {key: [fits[str(seed)][key] for seed in SEEDS] for key in MEASURES}
        for name, fits in record["fits"].items()
    }
    rows = []
    for name, measured in values.items():
        gains = np.subtract(measured["last"], values["the report's"]["last"]).tolist()
        gain = "" if name == "the report's" else "{:+.3f} ({:+.3f} to {:+.3f})".format(*interval(gains))
        rows.append([name, *(pages.spread(measured[key]) for key in MEASURES), gain])
    heads = ["settings", *(heading for heading, _ in MEASURES.values()), "gain in the last epoch, 95 % interval"]
    images = record["images"]
    setup = f"{record['photos']}: {images['train']} photographs for training, {images['val']} for validation"
    training = f"{SIZE} pixels, {EPOCHS} epochs, seeds {', '.join(map(str, SEEDS))}, {record['precision']}"
    return f"{pages.table(heads, rows)}\n\n{setup}; {training}."


if __name__ == "__main__":
    main()
