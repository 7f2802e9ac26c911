"""Photographs copied into folders by what a classifier says of them: one a class, and one of what it is not sure of."""

import filecmp
import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path

from realwaste.core.files import replacing
from realwaste.core.log import logger
from realwaste.images.file_format import format_of
from realwaste.predict.output_folder import file_name
from realwaste.predict.prediction import Answer
from realwaste.sources.file_names import printable
from realwaste.sources.image_files import is_image

_HEAD = 4096  # bytes that tell a picture's format


class Sorter:
    """Copies in one folder, which output_folder.check has made. Nothing is moved, overwritten or deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copied: Counter[str] = Counter()
        self._there = 0

    def sort(self, answer: Answer) -> Answer:
        """The same answer with its copy; without one where there is no answer, or where the photograph has gone."""
        if answer.said is None:
            return answer
        place = self._folder / _folder_name(answer.said)
        try:
            target = self._copy(answer.path, place, _file_name(answer.path))
        except FileNotFoundError:
            if answer.path.exists():
                raise
            logger.warning("%s has gone, and is not copied", printable(answer.name))
            return answer
        return replace(answer, copy=target)

    def summary(self) -> str:
        """For people: how many copies were made, by folder."""
        copied = ", ".join(f"{printable(name)} {number}" for name, number in sorted(self._copied.items()))
        there = f"; {self._there} were there already" if self._there else ""
        return f"copied to {printable(self._folder)}: {copied or 'none'}{there}"

    def _copy(self, photograph: Path, place: Path, name: str) -> Path:
        """Under its own name; with a number behind it where another photograph has that name already."""
        stem, suffix = Path(name).stem, Path(name).suffix
        for number in count(1):
            target = place / (name if number == 1 else f"{stem}-{number}{suffix}")
            if not target.exists():
                with replacing(target) as temporary:
                    shutil.copy2(photograph, temporary)
                self._copied[place.name] += 1
                return target
            if target.is_file() and filecmp.cmp(photograph, target, shallow=False):
                self._there += 1
                return target
        raise AssertionError("numbers do not end")


def _folder_name(said: str) -> str:
    """Of a class, whose name is whatever a model file says: never a path, and fit for Windows too."""
    return file_name(re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", said).strip(". ") or "_")


def _file_name(photograph: Path) -> str:
    """Its own; with a suffix by its bytes where it has none, as what came from an address may have."""
    if is_image(photograph):
        return photograph.name
    with photograph.open("rb") as file:
        kind = format_of(file.read(_HEAD))
    return f"{photograph.name}.{kind.lower()}" if kind else photograph.name
