"""`python -m benchmarks.report_claims --photos …`: what the report claims of its CNN's training, measured.

Each optimizer, activation and way to normalise has the best of a small grid of learning rates, by the lowest validation
loss of the first seed; then all seeds train at that rate. Of each training the epoch of the lowest validation loss is
kept, and its test accuracy read once. Killed, it goes on after the last training that ended.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.report_claim_tables import GRID_KEY, table
from realwaste.core import log
from realwaste.core.files import read_json, write_json
from realwaste.dataset import manifest, split
from realwaste.dataset.labels import classes_of, labels_of, paths_of
from realwaste.evaluation import scores
from realwaste.images.reader import read_images
from realwaste.models import cnn
from realwaste.runtime import determinism, device, fused_layers, inference_engine
from realwaste.training import samples, training_loop
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule

RESULTS, PAGE = ROOT / "benchmarks/report_claims.json", ROOT / "docs/report.md"
COMMAND = "python -m benchmarks.report_claims"
SEEDS = (42, 43, 44)
SIZE, EPOCHS, BATCH = 96, 15, 32
SWEEP = (0.0001, 0.001, 0.01)  # of section 1.14, without the highest


@dataclass(frozen=True)
class Variant:
    """A way to train the CNN that the report claims something of; its own by default."""

    optimizer: str = "adam"
    normalization: str = "batch"
    activation: str = "relu"
    shuffle: bool = True

    @property
    def name(self) -> str:
        order = "shuffled" if self.shuffle else "one order"
        return f"{self.optimizer}, {self.normalization}, {self.activation}, {order}"


REPORTED = Variant()
_ADAM = (0.00003, 0.0001, 0.0003, 0.001)
GRIDS: dict[Variant, Sequence[float]] = {
    REPORTED: (0.00001, *_ADAM),
    Variant(optimizer="sgd"): (0.0003, 0.001, 0.003, 0.01),
    Variant(optimizer="sgd_momentum"): (0.0001, 0.0003, 0.001, 0.003),
    Variant(normalization="none"): _ADAM,
    Variant(activation="tanh"): _ADAM,
    Variant(activation="sigmoid"): _ADAM,
}
ACTIVATIONS = ("relu", "tanh", "sigmoid")
ROUNDS, STEPS = 10, 8  # in which the activations take turns, and steps of each
UNSHUFFLED = Variant(shuffle=False)


@dataclass(frozen=True)
class Job:
    """What is trained on, and where what was found is kept after each training."""

    root: Path
    splits: pd.DataFrame
    train: Samples
    val: Samples
    found: dict[str, Any]
    results: Path


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="a folder of photographs, with one of each class")
    arguments = parser.parse_args()
    log.setup()
    found = run(arguments.photos, RESULTS)
    pages.rewrite(PAGE, COMMAND, table(found))


def run(photos: Path, results: Path) -> dict[str, Any]:
    """Train whatever `results` does not hold yet; all of it."""
    splits = split.stratified(manifest.scan(photos).manifest, train=0.6, val=0.2, test=0.2, seed=42)
    images = {str(part): int(count) for part, count in splits["split"].value_counts().items()}
    about: dict[str, Any] = {"photos": photos.name, "images": images, "classes": len(classes_of(splits)), "size": SIZE}
    about |= {"epochs": EPOCHS, "precision": device.resolve_precision("auto"), "seeds": list(SEEDS)}
    kept = read_json(results) if results.is_file() else {}
    same = {key: kept.get(key) for key in about} == about
    found = about | {key: kept.get(key, {}) if same else {} for key in ("fits", "gradients", "best")}
    train, val, _ = samples.pictures(splits, photos, SIZE, "memory")
    job = Job(photos, splits, train, val, found, results)
    for variant, grid in GRIDS.items():
        losses = {rate: min(_fit(job, variant, rate, SEEDS[0])["val_losses"]) for rate in grid}
        found["best"][variant.name] = min(grid, key=losses.__getitem__)
    found["best"][UNSHUFFLED.name] = found["best"][REPORTED.name]
    for seed in SEEDS:
        for variant in (*GRIDS, UNSHUFFLED):
            _fit(job, variant, found["best"][variant.name], seed)
        for rate in SWEEP:
            _fit(job, REPORTED, rate, seed)
        for name in ACTIVATIONS:
            variant = replace(REPORTED, activation=name)
            found["gradients"].setdefault(name, {})[str(seed)] = _first_beside_last(job, variant, seed)
    found["step_seconds"] = _step_seconds(job)
    write_json(results, found)
    return found


def _model(job: Job, variant: Variant) -> keras.Model:
    return cnn.build(
        SIZE,
        job.found["classes"],
        batch_norm_momentum=0.9,
        normalization=variant.normalization,
        activation=variant.activation,
    )


def _fit(job: Job, variant: Variant, rate: float, seed: int) -> dict[str, Any]:
    """What came of a training, kept at once; from what is kept if it is there."""
    own = job.found["fits"].setdefault(GRID_KEY.format(variant.name, rate), {})
    if str(seed) in own:
        return own[str(seed)]
    keras.utils.clear_session()
    determinism.make_repeatable(seed, deterministic=True)
    model = _model(job, variant)
    schedule = Schedule(
        EPOCHS,
        BATCH,
        rate,
        variant.shuffle,
        seed,
        job.found["precision"],
        optimizer=variant.optimizer,
        patience=EPOCHS,  # no early end, and the best epoch's weights
    )
    trained = training_loop.fit(model, job.train, job.val, schedule, silent=True)
    asked = inference_engine.compile_network(model, BATCH, policy="float32", engine="tensorflow")
    answers = asked(read_images([job.root / path for path in paths_of(job.splits, "test")], SIZE))
    history = trained.history
    own[str(seed)] = {
        "losses": _listed(history["loss"]),
        # Chance stands for what is no number.
        "val_losses": _listed(history["val_loss"].fillna(np.log(job.found["classes"]))),
        "diverged": trained.diverged_epoch is not None,
        "test_accuracy": scores.accuracy(labels_of(job.splits, "test"), np.nan_to_num(answers)),
    }
    write_json(job.results, job.found)
    log.logger.info("%s, %g, seed %d: test accuracy %.3f", variant.name, rate, seed, own[str(seed)]["test_accuracy"])
    return own[str(seed)]


def _listed(column: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else round(float(value), 5) for value in column]


def _first_beside_last(job: Job, variant: Variant, seed: int) -> float:
    """The root mean square of the first layer's gradient beside the last one's, at the start of a training."""
    keras.utils.clear_session()
    determinism.make_repeatable(seed, deterministic=True)
    model = _model(job, variant)
    count = len(job.train.labels)
    rows = np.random.default_rng(seed).choice(count, min(BATCH, count), replace=False)
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    first_and_last = [kernels[0].value, kernels[-1].value]
    with tf.GradientTape() as tape:
        said = model(job.train.inputs[np.sort(rows)], training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(job.train.labels[np.sort(rows)], said))
    first, last = (float(tf.sqrt(tf.reduce_mean(tf.square(one)))) for one in tape.gradient(loss, first_and_last))
    return first / last


def _step_seconds(job: Job) -> dict[str, list[float]]:
    """Of each activation the seconds of a step, in turn, so that whatever else this machine does slows all alike."""
    keras.utils.clear_session()
    first = np.arange(min(BATCH, len(job.train.labels)))
    twins, rows = {}, (job.train.inputs[first], job.train.labels[first])
    for name in ACTIVATIONS:
        model = _model(job, replace(REPORTED, activation=name))
        twins[name] = fused_layers.fuse(model, job.found["precision"], for_training=True)
        training_loop.compile_for_training(twins[name], Schedule(1, BATCH, 0.0001, True, 0), 1)
        twins[name].train_on_batch(*rows)  # builds the graph
    seconds: dict[str, list[float]] = {name: [] for name in ACTIVATIONS}
    for _ in range(ROUNDS):
        for name, twin in twins.items():
            started = time.perf_counter()
            for _ in range(STEPS):
                twin.train_on_batch(*rows)
            seconds[name].append(round((time.perf_counter() - started) / STEPS, 5))
    return seconds


if __name__ == "__main__":
    main()
