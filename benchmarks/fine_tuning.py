"""`python -m benchmarks.fine_tuning --photos …`: variants of fine-tuning EfficientNet-Lite2, on validation photographs.

Each variant changes settings of the set `best`, and is trained on grouped splits. It predicts the validation
photographs as they are and as simulated external photographs. The test photographs are not read. A killed run resumes
in the epoch where it stopped; --only and --splits run a part of the table.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.external_views import SimulatedExternal
from benchmarks.parts.photographs import Photographs
from benchmarks.parts.split_effect import make_split
from realwaste.cli.train_model import PhotoTraining
from realwaste.core import log
from realwaste.core.files import read_json, write_json
from realwaste.dataset.labels import labels_of, paths_of
from realwaste.evaluation import calibration
from realwaste.images.augment import Augment
from realwaste.images.reader import prefetch_batches
from realwaste.models.probabilities import apply_temperature, fit_temperature, log_loss
from realwaste.models.test_time_augmentation import average_views
from realwaste.runtime import device, inference_engine
from realwaste.sources.realwaste_files import COUNTS
from realwaste.training import head
from realwaste.training.finetune_recipe import FinetuneRecipe

COMMAND = "python -m benchmarks.fine_tuning"
RESULTS, PAGE = ROOT / "benchmarks/fine_tuning.json", ROOT / "docs/results.md"
BACKBONE, SPLITS, SEED, BATCH = "EfficientNetLite2", (42, 43, 44), 42, 8


@dataclass(frozen=True)
class Variant:
    """A change of the set `best`: the size of the images, and keyword arguments of LastLayers and of its Schedule."""

    size: int = 260
    frozen: bool = False
    layers: tuple[tuple[str, Any], ...] = ()
    schedule: tuple[tuple[str, Any], ...] = ()

    def apply(self, recipe: FinetuneRecipe) -> FinetuneRecipe:
        """The recipe with the change."""
        phase = recipe.last_layers
        if self.frozen or phase is None:
            return replace(recipe, last_layers=None)
        phase = replace(phase, **dict(self.layers), schedule=replace(phase.schedule, **dict(self.schedule)))
        return replace(recipe, last_layers=phase)


VARIANTS = {
    "frozen": Variant(frozen=True),
    "`best`": Variant(),
    "224 px": Variant(size=224),
    "20 epochs, more augmentation": Variant(
        layers=(("augment", Augment(flip=True, rotate=0.1, zoom=0.2, shift=0.1, color=0.2)),),
        schedule=(("epochs", 20),),
    ),
    "batch normalisation trained": Variant(layers=(("batch_norm", "train"),)),
    "the whole backbone": Variant(layers=(("unfreeze", "all"),)),
    "the last 20 layers": Variant(layers=(("unfreeze", 20),)),
    "learning rate 0.0001": Variant(schedule=(("learning_rate", 0.0001),)),
    "without mixup": Variant(schedule=(("mixup", 0.0),)),
    "without label smoothing": Variant(schedule=(("label_smoothing", 0.0),)),
}
MEASURES = {
    "plain": "accuracy",
    "mirrored": "with mirror images",
    "external": "simulated external",
    "external_ece": "simulated external: calibration error",
    "external_loss": "simulated external: loss",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="RealWaste's class folders")
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--splits", nargs="*", type=int, choices=SPLITS, default=SPLITS, help="seeds of the splits")
    folder = Path(tempfile.gettempdir()) / "realwaste-fine-tuning"
    parser.add_argument("--folder", type=Path, default=folder, help=f"for checkpoints and models; default {folder}")
    arguments = parser.parse_args()
    log.setup()
    photos = Photographs(arguments.photos, arguments.folder, COUNTS)
    record = read_json(RESULTS) if RESULTS.is_file() else {}
    for split in arguments.splits:
        for name in arguments.only:
            if str(split) not in record.setdefault(name, {}):
                record[name][str(split)] = measure(photos, VARIANTS[name], name, split)
                log.logger.info("%s, split %d: %s", name, split, record[name][str(split)])
                write_json(RESULTS, record)
    pages.rewrite(PAGE, COMMAND, table(record))


def measure(photos: Photographs, variant: Variant, name: str, split: int) -> dict[str, Any]:
    """Train a variant on a split; the values of MEASURES, the seconds, and the precision."""
    splits = make_split(photos, "grouped", split)
    training = PhotoTraining(
        "edge", photos.root.name, photos.root, splits, BACKBONE, variant.size, fine_tune=True, seed=SEED
    )
    folder = photos.cache / f"{variant.size}"
    folder.mkdir(exist_ok=True)
    job = training.prepare(folder)
    job = replace(job, recipe=variant.apply(job.recipe))
    checkpoint = photos.cache / f"{name} {split}".replace("`", "").replace(" ", "_")
    checkpoint.mkdir(exist_ok=True)
    model, trained = job.fit(SEED, checkpoint)
    if variant.frozen:
        model = head.join(job.backbone.model, model)
    model = average_views(model, job.recipe.test_flips)
    model.save(checkpoint.with_suffix(".keras"))
    plain = round(float(trained.history["val_accuracy"].iloc[trained.kept_epoch - 1]), 5)
    values = score(model, photos, splits, variant.size)
    return {"plain": plain} | values | {"seconds": round(trained.seconds), "precision": job.policy}


def score(model: keras.Model, photos: Photographs, splits: pd.DataFrame, size: int) -> dict[str, float]:
    """The values of MEASURES for a classifier with mirror images, whose temperature is fitted to plain photographs."""
    policy = device.resolve_precision("auto")
    engine = inference_engine.resolve_engine("auto", policy)
    network = inference_engine.compile_network(model, BATCH, policy=policy, engine=engine)
    files, labels = [photos.root / path for path in paths_of(splits, "val")], labels_of(splits, "val")
    simulated = SimulatedExternal({label: sorted((photos.root / label).iterdir()) for label in photos.classes})
    mirrored, external = (
        np.concatenate([network(batch) for batch in prefetch_batches(files, size, BATCH, transform=view)])
        for view in (None, simulated)
    )
    calibrated = apply_temperature(external, fit_temperature(labels, mirrored))
    values = {
        "mirrored": np.mean(mirrored.argmax(axis=1) == labels),
        "external": np.mean(external.argmax(axis=1) == labels),
        "external_ece": calibration.expected_calibration_error(labels, calibrated),
        "external_loss": log_loss(labels, calibrated),
    }
    return {key: round(float(value), 5) for key, value in values.items()}


def table(record: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A row for each variant: means over the splits, with standard deviations if there is more than one."""
    rows = []
    for name, by_split in record.items():
        if by_split:
            columns = ([values[key] for values in by_split.values()] for key in MEASURES)
            cells = [pages.spread(column) if len(column) > 1 else f"{column[0]:.3f}" for column in columns]
            rows.append([name, ", ".join(by_split), *cells])
    return pages.table(["variant", "splits", *MEASURES.values()], rows)


if __name__ == "__main__":
    main()
