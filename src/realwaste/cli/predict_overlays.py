"""Photographs coloured where a classifier looked, as files beside each other."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from realwaste.cli import output_options
from realwaste.cli.output_options import fit_file_name
from realwaste.evaluation import overlays
from realwaste.images.reader import Pixels, UnreadableImageError, decode, read_bytes, resize
from realwaste.images.scaling import at_most
from realwaste.models.image_predictions import ImagePrediction, with_error
from realwaste.models.model_file import Classifier

LONGEST_SIDE = 1024  # pixels
_CLASS_CHARACTERS = 50  # in a file's name, of which the photograph's own is cut where there is no room for both


def with_overlays(
    answered: Iterable[ImagePrediction], folder: Path, classifier: Classifier
) -> Iterator[ImagePrediction]:
    """The same answers, each with the overlay that is written for it; files without an answer have none."""
    files = OverlayFiles(folder, classifier)
    for answer in answered:
        yield files.add(answer) if answer.predictions else answer


class OverlayFiles:
    """Pictures in one folder, which outputs.check_folder has made; two photographs of one name keep two overlays."""

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        from realwaste.evaluation.grad_cam import GradCam  # noqa: PLC0415 - TensorFlow, which a bad folder need not wait for

        self._folder = folder
        self._facts = classifier.facts
        self._cam = GradCam(classifier.model)
        self._written: set[str] = set()

    def add(self, answer: ImagePrediction) -> ImagePrediction:
        """The same answer with its overlay, or with the reason why there is none."""
        try:
            photo = decode(read_bytes(answer.path))
        except UnreadableImageError as error:
            return with_error(answer, f"no overlay: {error}")
        except OSError as error:
            return with_error(answer, f"no overlay: the photo cannot be opened: {error.strerror}")
        try:
            return replace(answer, overlay=self._write(answer, photo))
        except OSError as error:
            return with_error(answer, f"no overlay in {self._folder}: {error.strerror or error}")

    def _write(self, answer: ImagePrediction, photo: Pixels) -> Path:
        """<name>_<class>.png: the photograph with the heat of its most probable class; overlays of earlier runs go."""
        best = answer.predictions[0].name
        pixels = resize(photo, self._facts.image_size)[np.newaxis]
        heat = self._cam.heat(pixels, np.array([self._facts.classes.index(best)]))[0]
        path = self._folder / self._free_name(answer.path.stem, best)
        overlays.write_png(path, overlays.blend_heat(at_most(photo, LONGEST_SIDE), heat))
        return path

    def _free_name(self, stem: str, label: str) -> str:
        best = re.sub(r"[\0/\\]", "_", f"_{label}")[:_CLASS_CHARACTERS]
        name, number = fit_file_name(stem, f"{best}.png"), 1
        while name in self._written or self._is_foreign(self._folder / name):
            number += 1
            name = fit_file_name(stem, f"{best}-{number}.png")
        self._written.add(name)
        return name

    @staticmethod
    def _is_foreign(path: Path) -> bool:
        """Whether something else than an overlay stands there, a link too."""
        if path.is_symlink() or not path.is_file():
            return os.path.lexists(path)
        return not output_options.is_marked(path, overlays.MARK)
