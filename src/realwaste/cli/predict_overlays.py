"""Grad-CAM overlays of photographs, written to one folder."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from realwaste.cli import output_options
from realwaste.cli.output_options import fit_file_name
from realwaste.evaluation import overlays
from realwaste.images.reader import Pixels, UnreadableImageError, decode_image, read_bytes, resize_image, shrink_to
from realwaste.models.image_predictions import ImagePrediction, with_error
from realwaste.models.model_file import Classifier

LONGEST_SIDE = 1024  # pixels
_MAX_CLASS_CHARACTERS = 50  # of the class in the file name


class OverlayWriter:
    """Writes overlays to a folder that output_options.check_folder has made.

    Photographs of the same name have overlays of different names.
    """

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        from realwaste.evaluation.grad_cam import GradCam  # noqa: PLC0415 - TensorFlow

        self._folder = folder
        self._facts = classifier.facts
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
        while name in self._written or self._is_other_file(self._folder / name):
            number += 1
            name = fit_file_name(stem, f"{ending}-{number}.png")
        self._written.add(name)
        return name

    @staticmethod
    def _is_other_file(path: Path) -> bool:
        """Whether there is something else than an overlay at `path`; a link counts as something else."""
        if path.is_symlink() or not path.is_file():
            return os.path.lexists(path)
        return not output_options.is_marked(path, overlays.MARK)
