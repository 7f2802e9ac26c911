"""A folder that `predict` writes pictures to, which are not to be taken for photographs the next time."""

import glob
import os
import tempfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.sources.file_names import printable
from realwaste.sources.image_files import walk


def check(option: str, folder: Path, arguments: Sequence[str], photographs: Sequence[Path]) -> None:
    """Make the folder, without waiting for TensorFlow, or say why it is none to write to.

    Args:
        option: that names the folder, for people.
        arguments: files, folders and patterns that the photographs were found by, as image_paths.expand takes them.
        photographs: what was found.

    Raises:
        UserError: no file can be written there; or pictures would lie where photographs are looked for, where they
            would be answered as photographs the next time, or take the place of one.
    """
    place = folder.resolve()
    parents = {path.parent.resolve() for path in photographs}
    if place in parents or any(_looked_at(place, argument) for argument in arguments):
        rule = (
            f"{option} must name a folder outside of those with the photos, or its pictures would be taken for photos."
        )
        raise UserError(rule, "Give another, beside them.", str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        rule = f"{option} must name a folder to write to, and {printable(folder)} cannot be one."
        raise UserError(rule, "Give another.", error.strerror) from None


def file_name(text: str) -> str:
    """In UTF-8 where the locale is another, such as C, in which Python could not name a file so."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def _looked_at(place: Path, argument: str) -> bool:
    """Whether an argument finds pictures in `place`."""
    path = Path(argument)
    if path.exists() or not glob.has_magic(argument):
        return any(place.is_relative_to(folder.resolve()) for folder, _ in walk(path, lambda *_: None))
    fixed = Path(*(part for part in _before_magic(path.parts))).resolve()
    if not place.is_relative_to(fixed):
        return False
    pattern = str(fixed.joinpath(*path.parts[len(list(_before_magic(path.parts))) :]))
    return "**" in path.parts or any(fnmatch(str(one), pattern) for one in (place, *place.parents))


def _before_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part
