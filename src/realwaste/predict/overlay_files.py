"""Photographs coloured where a classifier looked, as files beside each other."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from realwaste.classifier.model_file import Classifier
from realwaste.explanation import overlays
from realwaste.images.reader import decode, read_bytes, resize
from realwaste.predict.output_folder import file_name
from realwaste.predict.prediction import Answer
from realwaste.predict.scaling import at_most

LONGEST_SIDE = 1024  # pixels
_STEM_BYTES = 160  # of the 255 that a file name may have; class, number and suffix come to it


def with_overlays(answered: Iterable[Answer], folder: Path, classifier: Classifier) -> Iterator[Answer]:
    """The same answers, each with the overlay that is written for it; files without an answer have none."""
    files = OverlayFiles(folder, classifier)
    for answer in answered:
        yield replace(answer, overlay=files.write(answer)) if answer.predictions else answer


class OverlayFiles:
    """Pictures in one folder, which output_folder.check has made; two photographs of one name keep two overlays."""

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        from realwaste.explanation.grad_cam import GradCam  # noqa: PLC0415 - TensorFlow, which a bad folder need not wait for

        self._folder = folder
        self._facts = classifier.facts
        self._cam = GradCam(classifier.model)
        self._written: set[str] = set()

    def write(self, answer: Answer) -> Path:
        """<name>_<class>.png: the photograph with the heat of its most probable class; files of earlier runs go."""
        photo = decode(read_bytes(answer.path))
        best = answer.predictions[0].name
        pixels = resize(photo, self._facts.image_size)[np.newaxis]
        heat = self._cam.heat(pixels, np.array([self._facts.classes.index(best)]))[0]
        path = self._folder / self._free_name(answer.path.stem, best)
        overlays.write(path, overlays.overlay(at_most(photo, LONGEST_SIDE), heat))
        return path

    def _free_name(self, stem: str, label: str) -> str:
        short = stem.encode("utf-8", "surrogateescape")[:_STEM_BYTES].decode("utf-8", "ignore")
        base = file_name(f"{short}_{label}".replace("/", "_").replace("\\", "_"))
        name, number = f"{base}.png", 1
        while name in self._written:
            number += 1
            name = f"{base}-{number}.png"
        self._written.add(name)
        return name
