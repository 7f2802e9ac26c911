"""What a folder gets of a photograph: a copy by its predicted or its true and predicted class, or an overlay."""

import filecmp
import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from realwaste.cli import output_options
from realwaste.cli.output_options import fit_file_name
from realwaste.core.file_names import printable
from realwaste.core.files import atomic_replace
from realwaste.evaluation import overlays
from realwaste.images.file_format import detect_format
from realwaste.images.reader import Pixels, UnreadableImageError, decode_image, read_bytes, resize_image, shrink_to
from realwaste.models.image_predictions import ImagePrediction, with_error
from realwaste.models.model_file import Classifier
from realwaste.sources.image_files import is_image

_HEADER_BYTES = 4096  # enough to recognize an image format


class Sorter:
    """Copies photographs to a folder that output_options.check_folder has made. Moves, replaces and deletes nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copied: Counter[str] = Counter()
        self._already_there = 0

    def sort(self, prediction: ImagePrediction) -> ImagePrediction:
        """Copy a photograph; returns its prediction with the path of the copy, or with the error.

        A photograph without a prediction is not copied.
        """
        if prediction.label is None:
            return prediction
        photo, class_folder = prediction.path, self._folder / _folder_name(prediction.label)
        try:
            return replace(prediction, copy=self.copy(photo, prediction.label))
        except OSError as error:
            if not photo.is_file():
                return with_error(prediction, "not copied: the photo is no longer there, or no longer a file")
            return with_error(prediction, f"not copied to {class_folder}: {error.strerror or error}")

    def copy(self, photo: Path, *labels: str) -> Path:
        """Copy a photograph to a folder for each of `labels`, one in the other; returns the path of the copy.

        If another file has the name, a number is added to it.
        """
        class_folder = self._folder
        for label in labels:
            class_folder /= _folder_name(label)
            if class_folder.is_symlink():
                raise OSError(0, "it is a link, which is not followed")
        if not photo.is_file():
            raise FileNotFoundError
        stem, suffix = os.path.splitext(_file_name(photo))  # noqa: PTH122 - pathlib splits `.x` and `x.` differently
        number = 1
        target = class_folder / fit_file_name(stem, suffix)
        while os.path.lexists(target):
            if target.is_file() and filecmp.cmp(photo, target, shallow=False):
                self._already_there += 1
                return target
            number += 1
            target = class_folder / fit_file_name(stem, f"-{number}{suffix}")
        with atomic_replace(target, lambda _: False) as temporary:
            shutil.copy2(photo, temporary)
        self._copied[class_folder.relative_to(self._folder).as_posix()] += 1
        return target

    def summary(self) -> str:
        """How many copies were made in each folder, for the log."""
        copied = ", ".join(f"{printable(name)} {number}" for name, number in sorted(self._copied.items()))
        already_there = f"; {self._already_there} were there already" if self._already_there else ""
        return f"copied to {printable(self._folder)}: {copied or 'none'}{already_there}"


def _folder_name(label: str) -> str:
    """A safe folder name for a class, since a model file from elsewhere may have any name; valid on Windows too."""
    return fit_file_name(re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", label).strip(". ") or "_")


def _file_name(photo: Path) -> str:
    """The name of the photograph; without an image suffix, as a download may be, the suffix of its format is added."""
    if is_image(photo):
        return photo.name
    with photo.open("rb") as file:
        image_format = detect_format(file.read(_HEADER_BYTES))
    return f"{photo.name}.{image_format.lower()}" if image_format else photo.name


LONGEST_SIDE = 1024  # pixels
_MAX_CLASS_CHARACTERS = 50  # of the class in the file name


class OverlayWriter:
    """Writes overlays, each with its own name, to a folder that output_options.check_folder has made."""

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        from realwaste.evaluation.grad_cam import GradCam  # noqa: PLC0415 - TensorFlow

        self._folder = folder
        self._facts = classifier.metadata
        self._cam = GradCam(classifier.model)
        self._written: set[str] = set()

    def add(self, prediction: ImagePrediction) -> ImagePrediction:
        """Write the overlay of a prediction, if it is one; returns it with the overlay's path, or with the error."""
        if not prediction.predictions:
            return prediction
        try:
            photo = decode_image(read_bytes(prediction.path))
        except UnreadableImageError as error:
            return with_error(prediction, f"no overlay: {error}")
        except OSError as error:
            return with_error(prediction, f"no overlay: the photo cannot be opened: {error.strerror}")
        try:
            return replace(prediction, overlay=self._write(prediction, photo))
        except OSError as error:
            return with_error(prediction, f"no overlay in {self._folder}: {error.strerror or error}")

    def _write(self, prediction: ImagePrediction, photo: Pixels) -> Path:
        """Write <name>_<class>.png, the heat map of the most probable class; replaces overlays of earlier runs."""
        label = prediction.predictions[0].name
        pixels = resize_image(photo, self._facts.image_size)[np.newaxis]
        heat = self._cam.heat(pixels, np.array([self._facts.classes.index(label)]))[0]
        path = self._folder / self._free_name(prediction.path.stem, label)
        overlays.write_png(path, overlays.blend_heat(shrink_to(photo, LONGEST_SIDE), heat))
        return path

    def _free_name(self, stem: str, label: str) -> str:
        ending = re.sub(r"[\0/\\]", "_", f"_{label}")[:_MAX_CLASS_CHARACTERS]
        name, number = fit_file_name(stem, f"{ending}.png"), 1
        while name in self._written or _is_other_file(self._folder / name):
            number += 1
            name = fit_file_name(stem, f"{ending}-{number}.png")
        self._written.add(name)
        return name


def _is_other_file(path: Path) -> bool:
    """Whether there is something else than an overlay at `path`; a link counts as something else."""
    if path.is_symlink() or not path.is_file():
        return os.path.lexists(path)
    return not output_options.is_marked(path, overlays.MARK)
