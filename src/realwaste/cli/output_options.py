"""Checks of the options that name an output file or folder, made before a model is loaded.

No command replaces a file or folder that this project did not write. Each kind of output has a mark by which an
earlier output is recognized; if a file without the mark is there, the option is refused.
"""

import glob
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.sources.image_files import is_image, walk_folders

_PROBE = bytes(1 << 16)
_MAX_NAME_BYTES = 255  # of a file name, on common file systems
_MARK_WITHIN_BYTES = 4096  # from the beginning of a file


@dataclass(frozen=True)
class OutputKind:
    """A kind of output file: what an earlier one is called in messages, and whether a regular file is one."""

    earlier: str
    is_earlier: Callable[[Path], bool]

    def may_replace(self, path: Path) -> bool:
        """Whether `path` is an earlier output or an empty file; for realwaste.core.files.atomic_replace."""
        return path.is_file() and (path.stat().st_size == 0 or self.is_earlier(path))


def is_marked(path: Path, mark: bytes) -> bool:
    """Whether the beginning of a file contains `mark`."""
    with path.open("rb") as file:
        return mark in file.read(_MARK_WITHIN_BYTES)


def fit_file_name(stem: str, ending: str = "") -> str:
    """`stem` and `ending` as a file name, with `stem` cut if the name would be longer than file systems allow.

    The name is encoded as UTF-8, even if the locale, such as C, has another encoding.
    """
    encoded, encoded_ending = (text.encode("utf-8", "surrogateescape") for text in (stem, ending))
    max_bytes = _MAX_NAME_BYTES - len(encoded_ending)
    if len(encoded) > max_bytes:
        encoded = encoded[:max_bytes].decode("utf-8", "ignore").encode()
    return os.fsdecode(encoded + encoded_ending)


def check_file(
    option: str, file: Path, kind: OutputKind, arguments: Sequence[str] = (), photographs: Sequence[Path] = ()
) -> None:
    """Check that an output file can be written, and make its folder.

    Args:
        option: the option that names the file, for messages.
        arguments: the input files, folders and patterns of the command, as for image_paths.find_images.
        photographs: the images that these matched.

    Raises:
        UserError: the file cannot be written; it is one of the photographs, or the next run would take it for one; or
            it exists and is not an earlier output.
    """
    try:
        real = file.resolve()
        if real.exists() and not real.is_file():
            raise IsADirectoryError(0, "not a regular file")
        if real.is_file() and any(path.exists() and real.samefile(path) for path in photographs):
            raise UserError(f"{option} must name another file than the photographs.", "Name another file.", str(file))
        if is_image(file) and any(_is_searched(real, argument) for argument in arguments):
            rule = (
                f"{option} must name a file outside of the folders with the photos, or it would be taken for a photo."
            )
            raise UserError(rule, "Name another file.", str(file))
        if real.exists() and not kind.may_replace(real):
            rule = f"{option} must name a new file, or {kind.earlier}."
            raise UserError(rule, "Name another file, or move this one away.", str(file))
        _make_folder(real.parent)
    except (OSError, RuntimeError) as error:  # a RuntimeError is a link that leads to itself
        rule = f"{option} must name a file that can be written, and {printable(file)} cannot be."
        raise UserError(rule, "Name another file.", getattr(error, "strerror", None) or str(error)) from None


def check_folder(option: str, folder: Path, arguments: Sequence[str] = (), photographs: Sequence[Path] = ()) -> None:
    """Check that images can be written to a folder, and make it.

    Args:
        option, arguments, photographs: as for `check_file`.

    Raises:
        UserError: no file can be written there; or the folder is among those with the photographs, where an output
            could replace a photograph, or be taken for one by the next run.
    """
    place = folder.resolve()
    photo_folders = {path.parent.resolve() for path in photographs}
    if place in photo_folders or any(_is_searched(place, argument) for argument in arguments):
        rule = f"{option} must name a folder outside of those with the photos, or its images would be taken for photos."
        raise UserError(rule, "Name another folder, for example beside them.", str(folder))
    try:
        _make_folder(folder)
    except OSError as error:
        rule = f"{option} must name a folder to write to, and {printable(folder)} cannot be one."
        raise UserError(rule, "Name another folder.", error.strerror) from None


def _make_folder(folder: Path) -> None:
    """Make the folder and write a small temporary file, so that a full disk is noticed before any prediction."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(_PROBE)


def _is_searched(place: Path, argument: str) -> bool:
    """Whether an input argument is a folder, or a pattern that begins with a folder, that contains `place`."""
    source = Path(argument)
    if source.exists() or not glob.has_magic(argument):
        return any(place.is_relative_to(folder.resolve()) for folder, _ in walk_folders(source, lambda *_: None))
    return place.is_relative_to(Path(*takewhile(lambda part: not glob.has_magic(part), source.parts)).resolve())
