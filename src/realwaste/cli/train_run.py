"""One run of `realwaste train`: its options and their checks, the split, its steps, and the files that it writes."""

import hashlib
import shlex
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.text import Text

from realwaste.cli import evaluate, output_options, standard_output
from realwaste.cli.output_options import OutputKind
from realwaste.core import library_settings
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.files import exclusive_lock, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import leakage, manifest, split
from realwaste.dataset.labels import PARTS, classes_of
from realwaste.evaluation import external_sets
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.models import model_file, registry, training_photographs
from realwaste.sources import labelled_images
from realwaste.sources.labelled_images import ImageSet

METRICS, SPLITS = registry.METRICS_SUFFIX, "_splits.csv"
_TRAINED_BY = "realwaste train"
RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}
RUN_LENGTH = 10  # photographs in a run of the capture order, as split.block by default
MIN_IMAGES = 10  # of a class: with two test photographs, every score of the class is 0, a half or 1


@dataclass(frozen=True)
class PhotoSplit:
    """The manifest with the columns split and group, how it was split, and leakage.measure_exposure of it."""

    table: pd.DataFrame
    strategy: str
    exposure: dict[str, Any]


@dataclass(frozen=True)
class TrainRun:
    """The options of `train`."""

    photos: str
    name: str | None
    output: Path
    backbone: str
    image_size: int
    fine_tune: bool
    test: str | None
    seed: int

    def run(self) -> None:
        """Train, test and save a model, and print how good it is."""
        start = time.perf_counter()
        inputs = [self.photos, *([self.test] if self.test else [])]
        output_options.check_folder("--output", self.output, inputs)
        with ExitStack() as stack:
            labelled, root = stack.enter_context(labelled_images.open_labelled_images(self.photos, for_training=True))
            name = self._check_name(labelled.name)
            remedy = "Wait until it has ended, or give another --name."
            stack.enter_context(exclusive_lock(self._file(name, registry.SUFFIX), 0, remedy))
            logger.info("reading %d photos of %d classes", labelled.folders.image_count, len(labelled.folders.files))
            photo_split, test_set = split_photos(labelled, root, self.seed), None
            if self.test:
                external_set = external_sets.open_external_set(self.test, classes_of(photo_split.table))
                photographs = training_photographs.from_splits(photo_split.table)
                test_set = external_sets.leave_out_training(stack.enter_context(external_set), [photographs])
            metrics = self._train(name, labelled.name, root, photo_split, test_set)
            write_csv(self._file(name, SPLITS), photo_split.table)
            metrics["seconds_in_all"] = round(time.perf_counter() - start, 1)
            write_json(self._file(name, METRICS), {"trained_by": _TRAINED_BY} | metrics)
        self._print(name, metrics)
        if test_set:
            evaluate.report_rejected(test_set)

    def _check_name(self, folder: str) -> str:
        """The name of the model; UserError if its files cannot be written, or are something else's."""
        name = folder if self.name is None else self.name
        if not name or name in registry.MODELS or Path(name).name != name or name.startswith("."):
            rule = f"--name must be a file name, and none of {', '.join(registry.MODELS)}, the models of `dvc repro`."
            raise UserError(rule, "Give the model another name with --name.", name)
        is_earlier = {
            registry.SUFFIX: partial(_is_trained, name=name),
            SPLITS: partial(output_options.is_marked, mark=b"path,label,sha256"),
            METRICS: partial(output_options.is_marked, mark=f'"trained_by": "{_TRAINED_BY}"'.encode()),
        }
        for ending, check in is_earlier.items():
            kind = OutputKind(f"one of an earlier `{_TRAINED_BY}`", check)
            output_options.check_file("--name", self._file(name, ending), kind)
        return name

    def _train(
        self, name: str, dataset: str, root: Path, photo_split: PhotoSplit, test_set: ExternalSet | None
    ) -> dict[str, Any]:
        """Save the model; returns the metrics of its training and its tests."""
        with library_settings.importing_tensorflow():
            from realwaste.cli import train_model  # noqa: PLC0415 - TensorFlow, which a user error need not wait for
        from realwaste.models import session  # noqa: PLC0415
        from realwaste.runtime import resume  # noqa: PLC0415

        options = self.backbone, self.image_size, self.fine_tune, self.seed
        training = train_model.PhotoTraining(name, dataset, root, photo_split.table, *options)
        photos = photo_split.table[["path", "sha256", "split"]].to_csv()
        settings = {"options": options, "photos": hashlib.sha256(photos.encode()).hexdigest()}
        state, file = self.output / ".progress", self._file(name, registry.SUFFIX)
        with resume.progress_folder(f"train_{name}", settings, train_model.code_files(), state) as folder:
            job, classifier, trained = training.fit(folder)
            model_file.save(file, classifier)
            saved = session.open_session(file)
            metrics: dict[str, Any] = {"dataset": dataset, "strategy": photo_split.strategy}
            metrics |= {"exposure": photo_split.exposure} | job.backbone.facts | trained.summary()
            metrics["temperature"] = classifier.metadata.temperature
            metrics |= train_model.test_metrics(job, classifier, saved)
            if test_set:
                probabilities = evaluate.predict_set(saved, test_set)
                metrics["external"] = external_sets.evaluate_predictions(test_set, saved.metadata, probabilities)
        with suppress(OSError):  # another run keeps its progress there
            state.rmdir()
        return metrics

    def _print(self, name: str, metrics: dict[str, Any]) -> None:
        console = standard_output.console()
        right, images = metrics["test_right"], metrics["test_images"]
        interval = metrics["test_accuracy_low"], metrics["test_accuracy_high"]
        console.print(Text(_describe_score(right, images, "test photographs", *interval), "bold"))
        if external := metrics.get("external"):
            right, images = round(external["accuracy"] * external["images"]), external["images"]
            source, interval = f"photographs in {self.test}", (external["accuracy_low"], external["accuracy_high"])
            console.print(Text(printable(_describe_score(right, images, source, *interval)), "bold"))
        files = [self._file(name, ending) for ending in (registry.SUFFIX, SPLITS, METRICS)]
        console.print(Text(", ".join(printable(file) for file in files)))
        model = name if self.output == registry.FOLDER else str(files[0])
        console.print(Text(f"next: realwaste predict PHOTOS --model {printable(shlex.quote(model))}"))

    def _file(self, name: str, ending: str) -> Path:
        return self.output / f"{name}{ending}"


def _describe_score(right: int, images: int, what: str, low: float, high: float) -> str:
    """How many photographs were right, and what to expect of others like them: the 95 % interval, in words."""
    expected = f"of 100 others like these, expect {100 * low:.0f} to {100 * high:.0f} right"
    return f"{right} of {images} {what} right; {expected} (95 % interval)"


def _is_trained(path: Path, name: str) -> bool:
    """Whether a file is a model of this name, which no model of the pipeline has."""
    try:
        return model_file.read_metadata(path).name == name
    except UserError:
        return False


def split_photos(labelled: ImageSet, root: Path, seed: int) -> PhotoSplit:
    """Decode every photograph <root>/<Class>/<file> once, and split them: as they came, or at random.

    If a random split would separate near-duplicates, they are kept together, so that the test stays honest. Files that
    are not images are named and left out.

    Raises:
        UserError: a class has fewer than MIN_IMAGES readable photographs, or none in one of the parts.
    """
    scan = manifest.scan(root)
    if len(scan.rejected):
        examples = printable(manifest.describe_rejected(scan.rejected))
        logger.warning("%d files are left out: %s", len(scan.rejected), examples)
    _refuse_small_classes(scan.manifest, list(labelled.folders.files))
    targets = labelled.folders.target_paths()
    parts = {targets[file]: part for file, part in labelled.folders.parts.items()}
    near = leakage.find_near_duplicates(scan.manifest)
    groups = leakage.assign_groups(scan.manifest, RUN_LENGTH, near)
    strategy = split.resolve_strategy("auto", parts)

    def draw(strategy: str) -> PhotoSplit:
        table = split.draw(scan.manifest, strategy, RATIOS, groups=groups, parts=parts, seed=seed)
        return PhotoSplit(table.assign(group=groups), strategy, leakage.measure_exposure(table, near))

    photo_split = draw(strategy)
    if strategy == "stratified" and photo_split.exposure["near_duplicates"]:
        try:
            photo_split = draw("grouped")
        except UserError:  # too few groups
            count = photo_split.exposure["near_duplicates"]
            logger.warning("%d test photos are near-duplicates of others: the test score is too high", count)
    counts = split.summarize(photo_split.table)
    sizes = [counts[part] for part in PARTS]
    logger.info("%s split: %d photos for training, %d for validation, %d for the test", photo_split.strategy, *sizes)
    return photo_split


def _refuse_small_classes(accepted: pd.DataFrame, classes: list[str]) -> None:
    counts = accepted["label"].value_counts().reindex(classes, fill_value=0)
    if small := {str(label): int(count) for label, count in counts.items() if count < MIN_IMAGES}:
        rule = f"Every class must have at least {MIN_IMAGES} readable photos: some train the model, others test it."
        raise UserError(rule, "Add photos to it, or move its folder out.", small)
