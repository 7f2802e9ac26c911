"""`python -m benchmarks.external_models MODELS --photos …`: trained models as candidates for the set `field`.

MODELS is the folder of the models of claim row N, which were trained on the grouped split of seed 42. They predict its
validation photographs as they are and as simulated external photographs, with and without the central crop. With
--external, the settings of --chosen are read once on another collection.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from benchmarks.parts import pages
from benchmarks.parts.external_views import SimulatedExternal
from benchmarks.parts.heads import share_interval
from benchmarks.parts.photographs import Photographs
from benchmarks.parts.split_effect import make_split
from realwaste.core import log
from realwaste.dataset.folds import Rows
from realwaste.evaluation import calibration
from realwaste.images.reader import ImageTransform, prefetch_batches
from realwaste.models import model_file
from realwaste.models.probabilities import Labels, Probabilities, apply_temperature, fit_temperature, log_loss
from realwaste.models.test_time_augmentation import average_views, single_view_model
from realwaste.runtime import device, inference_engine
from realwaste.sources.realwaste_files import COUNTS

FLIPS = {"edge": "both", "irv2": "none", "densenet": "none"}
SETTINGS = {
    "irv2": ["irv2"],
    "irv2 crop": ["irv2 crop"],
    "densenet": ["densenet"],
    "edge": ["edge"],
    "edge crop": ["edge crop"],
    "vote": ["edge", "irv2", "densenet"],
    "vote crop": ["edge crop", "irv2 crop", "densenet crop"],
}
BATCH = 4
HEADS = ["accuracy, 95 % interval", "calibration error", "loss"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.external_models", description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--photos", required=True, type=Path, help="RealWaste's class folders")
    parser.add_argument("--cache", required=True, type=Path, help="for the predictions, which are computed once")
    parser.add_argument("--external", type=Path)
    parser.add_argument("--chosen", nargs="*", choices=SETTINGS, default=[])
    arguments = parser.parse_args()
    log.setup()
    photos = Photographs(arguments.photos, arguments.cache, COUNTS)
    rows = np.flatnonzero(make_split(photos, "grouped", 42)["split"].to_numpy() == "val")
    simulated = SimulatedExternal({name: sorted((photos.root / name).iterdir()) for name in photos.classes})
    raw = predict(arguments.models, photos, rows, arguments.cache / "val")
    raw_external = predict(arguments.models, photos, rows, arguments.cache / "sim", simulated)
    labels, groups, table = photos.labels[rows], photos.groups[rows], []
    temperatures = {name: fit_temperature(labels, vote(raw, members)) for name, members in SETTINGS.items()}
    for name, members in SETTINGS.items():
        calibrated = (apply_temperature(vote(values, members), temperatures[name]) for values in (raw, raw_external))
        table.append([name, *(cell for one in calibrated for cell in cells(labels, one, groups))])
    log.logger.info("%s", pages.table(["", *HEADS, *(f"simulated external: {head}" for head in HEADS)], table))
    if arguments.external:
        external, numbers = Photographs(arguments.external, arguments.cache), list(map(str.casefold, photos.classes))
        names = external.files["label"].str.casefold()
        rows = np.flatnonzero(names.isin(numbers))
        labels, groups = np.array([numbers.index(name) for name in names.iloc[rows]]), external.groups[rows]
        raw = predict(arguments.models, external, rows, arguments.cache / "ext")
        for name in arguments.chosen:
            probabilities = apply_temperature(vote(raw, SETTINGS[name]), temperatures[name])
            row = [name, str(len(rows)), *cells(labels, probabilities, groups)]
            log.logger.info("%s, mean confidence %.3f", row, probabilities.max(axis=1).mean())


def predict(
    models: Path, photos: Photographs, rows: Rows, cache: Path, view: ImageTransform | None = None
) -> dict[str, Probabilities]:
    """Uncalibrated probabilities (n, classes) of each model, with and without the central crop."""
    files, policy = [photos.root / path for path in photos.files["path"].iloc[rows]], device.resolve_precision("auto")
    probabilities = {}
    for name, model, size in list_models(models):
        file = cache.with_name(f"{cache.name}-{name}.npy")
        if not file.exists():
            network = inference_engine.compile_network(model, BATCH, policy=policy, engine="openvino")
            batches = prefetch_batches(files, size, BATCH, transform=view)
            np.save(file, np.concatenate([network(batch) for batch in batches]))
        probabilities[name] = np.load(file)
    return probabilities


def list_models(folder: Path) -> Iterator[tuple[str, keras.Model, int]]:
    """Name, classifier and image size."""
    for name, flips in FLIPS.items():
        classifier = model_file.load(folder / f"{name}.keras")
        yield name, classifier.model, classifier.metadata.image_size
        cropped = average_views(single_view_model(classifier.model), flips, "middle")
        yield f"{name} crop", cropped, classifier.metadata.image_size


def vote(raw: dict[str, Probabilities], members: Sequence[str]) -> Probabilities:
    return np.asarray(np.mean([raw[name] for name in members], axis=0))


def cells(labels: Labels, probabilities: Probabilities, groups: Rows) -> list[str]:
    share, low, high = share_interval(probabilities.argmax(axis=1) == labels, groups)
    error = calibration.expected_calibration_error(labels, probabilities)
    return [f"{share:.3f} ({low:.3f} to {high:.3f})", f"{error:.3f}", f"{log_loss(labels, probabilities):.3f}"]


if __name__ == "__main__":
    main()
