"""`python -m benchmarks.report_claims --photos …`: tests the report's claims about the training of its CNN.

Each optimizer, activation and normalization gets the best of a small grid of learning rates, selected by the lowest
validation loss with the first seed; then all seeds train with that rate. Each training restores the epoch with the
lowest validation loss, whose test accuracy is computed once. A killed run resumes after the last finished training.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT, time_in_turn
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
SIZE, EPOCHS, BATCH = 64, 10, 32
SWEEP = (0.0001, 0.001, 0.01)  # of section 1.14, without the highest


@dataclass(frozen=True)
class Variant:
    """A training configuration of the CNN that the report makes a claim about; the report's own by default."""

    optimizer: str = "adam"
    normalization: str = "batch"
    activation: str = "relu"
    shuffle: bool = True

    @property
    def name(self) -> str:
        order = "shuffled" if self.shuffle else "one order"
        return f"{self.optimizer}, {self.normalization}, {self.activation}, {order}"


REPORTED = Variant()
GRIDS: dict[Variant, Sequence[float]] = {
    REPORTED: (0.00001, 0.00003, 0.0001, 0.001),
    Variant(optimizer="sgd"): (0.0003, 0.001, 0.003),
    Variant(optimizer="sgd_momentum"): (0.0001, 0.0003, 0.001, 0.003),
    Variant(normalization="none"): (0.0001, 0.0003, 0.001, 0.003),
    Variant(activation="tanh"): (0.00003, 0.0001, 0.0003),
    Variant(activation="sigmoid"): (0.00001, 0.00003, 0.0001, 0.0003, 0.001),
}
ACTIVATIONS = ("relu", "tanh", "sigmoid")
ROUNDS, STEPS = 10, 8  # alternating rounds of the activations, and training steps in each
UNSHUFFLED = Variant(shuffle=False)


@dataclass(frozen=True)
class Job:
    """The training data, and the file that the record is written to after each training."""

    root: Path
    splits: pd.DataFrame
    train: Samples
    val: Samples
    record: dict[str, Any]
    results: Path


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="a folder with a subfolder of photographs per class")
    arguments = parser.parse_args()
    log.setup()
    record = run(arguments.photos, RESULTS)
    pages.rewrite(PAGE, COMMAND, table(record))


def run(photos: Path, results: Path) -> dict[str, Any]:
    """Run the trainings that the file `results` does not contain yet; the complete record."""
    splits = split.stratified(manifest.scan(photos).manifest, train=0.6, val=0.2, test=0.2, seed=42)
    images = {str(part): int(count) for part, count in splits["split"].value_counts().items()}
    setup: dict[str, Any] = {"photos": photos.name, "images": images, "classes": len(classes_of(splits)), "size": SIZE}
    setup |= {"epochs": EPOCHS, "precision": device.resolve_precision("auto"), "seeds": list(SEEDS)}
    saved = read_json(results) if results.is_file() else {}
    is_resumable = {key: saved.get(key) for key in setup} == setup
    record = setup | {key: saved.get(key, {}) if is_resumable else {} for key in ("fits", "gradients", "best")}
    train, val, _ = samples.load_pictures(splits, photos, SIZE, "memory")
    job = Job(photos, splits, train, val, record, results)
    for variant, grid in GRIDS.items():
        losses = {rate: min(_fit(job, variant, rate, SEEDS[0])["val_losses"]) for rate in grid}
        record["best"][variant.name] = min(grid, key=losses.__getitem__)
    record["best"][UNSHUFFLED.name] = record["best"][REPORTED.name]
    for seed in SEEDS:
        for variant in (*GRIDS, UNSHUFFLED):
            _fit(job, variant, record["best"][variant.name], seed)
        for rate in SWEEP:
            _fit(job, REPORTED, rate, seed)
        for name in ACTIVATIONS:
            variant = replace(REPORTED, activation=name)
            record["gradients"].setdefault(name, {})[str(seed)] = _gradient_ratio(job, variant, seed)
    record["step_seconds"] = _step_seconds(job)
    write_json(results, record)
    return record


def _model(job: Job, variant: Variant) -> keras.Model:
    return cnn.build(
        SIZE,
        job.record["classes"],
        batch_norm_momentum=0.9,
        normalization=variant.normalization,
        activation=variant.activation,
    )


def _fit(job: Job, variant: Variant, rate: float, seed: int) -> dict[str, Any]:
    """The losses and test accuracy of a training, saved at once; loaded if they were saved before."""
    fits = job.record["fits"].setdefault(GRID_KEY.format(variant.name, rate), {})
    if str(seed) in fits:
        return fits[str(seed)]
    keras.utils.clear_session()
    determinism.make_repeatable(seed, deterministic=True)
    model = _model(job, variant)
    schedule = Schedule(EPOCHS, BATCH, rate, variant.shuffle, seed, job.record["precision"], variant.optimizer)
    schedule = replace(schedule, patience=EPOCHS)  # restores the best epoch's weights, and never stops early
    trained = training_loop.fit(model, job.train, job.val, schedule, silent=True)
    predict = inference_engine.compile_network(model, BATCH, policy="float32", engine="tensorflow")
    probabilities = predict(read_images([job.root / path for path in paths_of(job.splits, "test")], SIZE))
    history = trained.history
    fits[str(seed)] = {
        "losses": _as_list(history["loss"]),
        # NaN is replaced by the loss of guessing.
        "val_losses": _as_list(history["val_loss"].fillna(np.log(job.record["classes"]))),
        "diverged": trained.diverged_epoch is not None,
        "test_accuracy": scores.accuracy(labels_of(job.splits, "test"), np.nan_to_num(probabilities)),
    }
    write_json(job.results, job.record)
    log.logger.info("%s, %g, seed %d: test accuracy %.3f", variant.name, rate, seed, fits[str(seed)]["test_accuracy"])
    return fits[str(seed)]


def _as_list(column: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else round(float(value), 5) for value in column]


def _gradient_ratio(job: Job, variant: Variant, seed: int) -> float:
    """Ratio of the root mean squares of the first and the last layer's gradient, before training."""
    keras.utils.clear_session()
    determinism.make_repeatable(seed, deterministic=True)
    model = _model(job, variant)
    count = len(job.train.labels)
    batch = job.train.take(np.sort(np.random.default_rng(seed).choice(count, min(BATCH, count), replace=False)))
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    first_and_last = [kernels[0].value, kernels[-1].value]
    with tf.GradientTape() as tape:
        probabilities = model(batch.inputs, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(batch.labels, probabilities))
    first, last = (float(tf.sqrt(tf.reduce_mean(tf.square(slope)))) for slope in tape.gradient(loss, first_and_last))
    return first / last


def _step_seconds(job: Job) -> dict[str, list[float]]:
    """Seconds per training step of each activation, in alternating rounds."""
    keras.utils.clear_session()
    batch = job.train.take(np.arange(min(BATCH, len(job.train.labels))))

    def take_steps(model: keras.Model) -> None:
        for _ in range(STEPS):
            model.train_on_batch(batch.inputs, batch.labels)

    jobs = {}
    for name in ACTIVATIONS:
        model = _model(job, replace(REPORTED, activation=name))
        fused_model = fused_layers.fuse(model, job.record["precision"], for_training=True)
        training_loop.compile_for_training(fused_model, Schedule(1, BATCH, 0.0001, True, 0), 1)
        fused_model.train_on_batch(batch.inputs, batch.labels)  # builds the graph
        jobs[name] = partial(take_steps, fused_model)
    seconds = time_in_turn(jobs, ROUNDS)
    return {name: [round(value / STEPS, 5) for value in values] for name, values in seconds.items()}


if __name__ == "__main__":
    main()
