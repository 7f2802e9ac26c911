"""Photographs copied into folders by what a classifier says of them: one a class, and one of what it is not sure of."""

import filecmp
import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path

from realwaste.cli.output_options import fit_file_name
from realwaste.core.file_names import printable
from realwaste.core.files import atomic_replace
from realwaste.images.file_format import format_of
from realwaste.models.image_predictions import ImagePrediction, with_error
from realwaste.sources.image_files import is_image

_HEAD = 4096  # bytes that tell a picture's format


class Sorter:
    """Copies in one folder, which outputs.check_folder has made. Nothing is moved, overwritten or deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copied: Counter[str] = Counter()
        self._there = 0

    def sort(self, answer: ImagePrediction) -> ImagePrediction:
        """The same answer with its copy, or with the reason why there is none; a file without an answer has neither."""
        if answer.label is None:
            return answer
        place = self._folder / _folder_name(answer.label)
        try:
            return replace(answer, copy=self._copy(answer.path, place, _file_name(answer.path)))
        except OSError as error:
            if not answer.path.is_file():
                return with_error(answer, "not copied: the photo has gone, or is no file any more")
            return with_error(answer, f"not copied to {place}: {error.strerror or error}")

    def summary(self) -> str:
        """For people: how many copies were made, by folder."""
        copied = ", ".join(f"{printable(name)} {number}" for name, number in sorted(self._copied.items()))
        there = f"; {self._there} were there already" if self._there else ""
        return f"copied to {printable(self._folder)}: {copied or 'none'}{there}"

    def _copy(self, photograph: Path, place: Path, name: str) -> Path:
        """Under its own name; with a number behind it where something else has that name already."""
        if not photograph.is_file():
            raise FileNotFoundError
        if place.is_symlink():
            raise OSError(0, "it is a link, which is not followed")
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - pathlib takes `.x` and `x.` otherwise
        for number in count(1):
            target = place / (fit_file_name(stem, suffix) if number == 1 else fit_file_name(stem, f"-{number}{suffix}"))
            if not os.path.lexists(target):
                with atomic_replace(target, lambda _: False) as temporary:
                    shutil.copy2(photograph, temporary)
                self._copied[place.name] += 1
                return target
            if target.is_file() and filecmp.cmp(photograph, target, shallow=False):
                self._there += 1
                return target
        raise AssertionError("numbers do not end")


def _folder_name(said: str) -> str:
    """Of a class, whose name is whatever a model file says: never a path, and fit for Windows too."""
    return fit_file_name(re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", said).strip(". ") or "_")


def _file_name(photograph: Path) -> str:
    """Its own; with a suffix by its bytes where it has none, as what came from an address may have."""
    if is_image(photograph) or not photograph.is_file():
        return photograph.name
    with photograph.open("rb") as file:
        kind = format_of(file.read(_HEAD))
    return f"{photograph.name}.{kind.lower()}" if kind else photograph.name
