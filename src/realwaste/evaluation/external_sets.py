"""External test sets: labelled photographs from another source, read and checked, and models evaluated on them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.dataset import leakage, manifest
from realwaste.evaluation import external, intervals, prediction_table
from realwaste.models.model_file import ModelMetadata
from realwaste.models.probabilities import Probabilities, apply_temperature, fill_undefined
from realwaste.models.training_photographs import TrainingPhotographs
from realwaste.sources import labelled_images

_RUN_LENGTH = 10  # photographs in a run of the capture order, as split.block by default


@dataclass(frozen=True)
class ExternalSet:
    """An external test set for models with certain classes, usable while its context is open.

    Attributes:
        name, source: see sources.labelled_images.ImageSet.
        root: a folder with the images as <folder>/<file>.
        class_of_folder: the models' class for each folder that matches one.
        images: the manifest of dataset.manifest.Scan, where label is the folder's name, with the group of each image.
        rejected: path and reason of each rejected file.
        used: how many images were left out because a model was trained on them; None if no model file says which.
        near_duplicates: how many of the rest are near-duplicates of training images; None as above.
    """

    name: str
    source: str
    root: Path
    class_of_folder: Mapping[str, str]
    images: pd.DataFrame
    rejected: pd.DataFrame
    used: int | None = None
    near_duplicates: int | None = None

    @property
    def files(self) -> list[Path]:
        """The images, in the order in which `evaluate_predictions` takes their probabilities."""
        return [self.root / path for path in self.images["path"]]

    @property
    def originals(self) -> list[Path]:
        """The files to which `files` are links: the user's, or those unpacked from an archive while the set is open."""
        return [file.readlink() for file in self.files]

    def label_of(self, path: str) -> str:
        """The models' class of an image or rejected file; the folder's name if they have no such class."""
        folder = path.partition("/")[0]
        return self.class_of_folder.get(folder, folder)

    def display_name(self, path: str) -> str:
        """The path of an image or rejected file as a user knows it.

        It is relative to the current folder if it is below it, and <Class>/<file> in an archive.
        """
        original, cwd = (self.root / path).readlink(), Path.cwd()
        if original.is_relative_to(self.root.parent):
            return path
        return str(original.relative_to(cwd) if original.is_relative_to(cwd) else original)

    @property
    def summary(self) -> dict[str, Any]:
        """For metrics: source, numbers of files, and a sha256 over all images and labels, whatever the file names."""
        content = sorted(self.images["sha256"] + " " + self.images["label"])
        return {
            "source": self.source,
            "images": len(self.images),
            "rejected": len(self.rejected),
            "used_for_training": self.used,
            "near_duplicates_of_training": self.near_duplicates,
            "sha256": hashlib.sha256("\n".join(content).encode()).hexdigest(),
        }

    @property
    def rejection_message(self) -> str:
        """How many files were rejected, with examples."""
        examples = manifest.describe_rejected(self.rejected)
        return f"{len(self.rejected)} of {len(self.rejected) + len(self.images)} files: {examples}"


@contextmanager
def open_external_set(source: str, classes: Sequence[str]) -> Iterator[ExternalSet]:
    """Opens the set at `source` for models with these classes; every file is decoded once.

    Raises:
        UserError: `source` cannot be read, or no folder with a readable image matches one of the classes.
    """
    with labelled_images.open_labelled_images(source) as (labelled, root):
        folders = list(labelled.folders.files)
        class_of_folder = external.match_folders(folders, classes)
        if not class_of_folder:
            raise UserError(
                f"{labelled.source} must have a folder of a class that the model knows: {', '.join(classes)}.",
                "Rename its folders to these names; case is ignored, and spaces, `_` and `-` are equivalent.",
                folders,
            )
        scan = manifest.scan(root)
        images = scan.manifest.assign(group=leakage.assign_groups(scan.manifest, _RUN_LENGTH))
        external_set = ExternalSet(labelled.name, labelled.source, root, class_of_folder, images, scan.rejected)
        if not images["label"].isin(class_of_folder).any():
            rule = f"{labelled.source} must have a readable image of a class that the model knows."
            raise UserError(rule, "Replace the files that are not images.", external_set.rejection_message)
        yield external_set


def leave_out_training(external_set: ExternalSet, models: Sequence[TrainingPhotographs | None]) -> ExternalSet:
    """The set without the images that a model was trained or validated on. The log has their number.

    Near-duplicates of training images stay, and are counted.

    Args:
        models: the photographs of each model; None for a model file of an earlier version.

    Raises:
        UserError: no image of a class is left.
    """
    records = [photographs for photographs in models if photographs is not None]
    if len(records) < len(models):
        logger.info(
            "a model file of an earlier version does not say what it was trained on: nothing is left out for it"
        )
    if not records:
        return external_set
    images, name = external_set.images, external_set.name
    in_training = np.any([photographs.contain(images["sha256"]) for photographs in records], axis=0)
    rest = images[~in_training].reset_index(drop=True)
    reason = f"{in_training.sum()} of {len(images)} photographs that a model was trained or validated on"
    if not rest["label"].isin(external_set.class_of_folder).any():
        rule = f"{external_set.source} must have photographs of the classes that the model was not trained on."
        raise UserError(rule, "Use other photographs.", reason)
    are_near = [leakage.have_near_duplicates(rest, photographs.phashes) for photographs in records]
    near_duplicates = int(np.any(are_near, axis=0).sum())
    if in_training.any():
        logger.warning("%s: left out %s", name, reason)
    if near_duplicates:
        logger.warning("%s: %d of %d are near-duplicates of training photographs", name, near_duplicates, len(rest))
    return replace(external_set, images=rest, used=int(in_training.sum()), near_duplicates=near_duplicates)


@contextmanager
def open_external_sets(
    sources: Sequence[str], classes: Sequence[str], models: Sequence[TrainingPhotographs | None]
) -> Iterator[dict[str, ExternalSet]]:
    """Opens each of `sources`, by name; a number is appended to the name of a second set with the same name."""
    with ExitStack() as stack:
        sets: dict[str, ExternalSet] = {}
        for source in sources:
            external_set = leave_out_training(stack.enter_context(open_external_set(source, classes)), models)
            same_name = sum(other_set.name == external_set.name for other_set in sets.values())
            name = f"{external_set.name} ({same_name + 1})" if same_name else external_set.name
            sets[name] = external_set
            if len(external_set.rejected):
                logger.warning("%s: left out %s", name, external_set.rejection_message)
        yield sets


def evaluate_predictions(external_set: ExternalSet, metadata: ModelMetadata, raw: Probabilities) -> dict[str, Any]:
    """external.compute_metrics of a model's raw probabilities (images, classes), which are calibrated here."""
    probabilities, undefined = fill_undefined(raw)
    labels = [external_set.label_of(path) for path in external_set.images["path"]]
    metrics = external.compute_metrics(
        labels,
        apply_temperature(probabilities, metadata.temperature),
        metadata.classes,
        external_set.images["group"].to_numpy(),
    )
    return metrics | {"undefined_answers": undefined}


def evaluate_in_domain_and_external(
    external_set: ExternalSet, metadata: ModelMetadata, raw: Probabilities, test_rows: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """For metrics/external.json: `home` (in-domain), `outside` (external) and `change` (external minus in-domain).

    Args:
        raw: the model's raw probabilities for the external set, (images, classes).
        test_rows: the model's rows of the predictions table for the in-domain test images, calibrated; those of the
            same classes count.
    """
    external_metrics = evaluate_predictions(external_set, metadata, raw)
    same_classes = test_rows[test_rows["label"].isin(set(external_set.class_of_folder.values()))]
    labels, probabilities = prediction_table.labels_of(same_classes), prediction_table.probabilities_of(same_classes)
    in_domain = external.score_predictions(labels, probabilities, same_classes["group"].to_numpy())
    return {
        "home": in_domain,
        "outside": external_metrics,
        "change": intervals.accuracy_change(in_domain, external_metrics),
    }
