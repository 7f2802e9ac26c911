"""Where a command writes: every output option is checked here, before a model is loaded.

No command replaces a file or folder that this project did not write. Each kind of output has a mark by which an
earlier one is known; a file without it stays, and the option is refused.
"""

import glob
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.sources.image_files import is_image, walk

_PROBE = bytes(1 << 16)
_MARKED_BYTES = 4096  # at the beginning of a file, in which its mark stands


@dataclass(frozen=True)
class Kind:
    """What a command writes.

    Attributes:
        earlier: what may be replaced, for people.
        is_earlier: whether a regular file is such a one.
    """

    earlier: str
    is_earlier: Callable[[Path], bool]

    def may_replace(self, path: Path) -> bool:
        """As of realwaste.core.files.replacing; an empty file holds nothing to lose."""
        return path.is_file() and (path.stat().st_size == 0 or self.is_earlier(path))


def is_marked(path: Path, mark: bytes) -> bool:
    """Whether `mark` stands at the beginning of a file, as its writer puts it there."""
    with path.open("rb") as file:
        return mark in file.read(_MARKED_BYTES)


def check_file(
    option: str, file: Path, kind: Kind, arguments: Sequence[str] = (), photographs: Sequence[Path] = ()
) -> None:
    """Make the folder of `file`, or say why nothing can be written there.

    Args:
        option: that names the file, for people.
        arguments: files, folders and patterns that the photographs were found by, as image_paths.expand takes them.
        photographs: what was found.

    Raises:
        UserError: it is no name for a file that can be written; it is a photograph, or would be taken for one the next
            time; something else than an earlier output stands there.
    """
    try:
        real = file.resolve()
        if real.exists() and not real.is_file():
            raise IsADirectoryError(0, "something else is there")
        if real.is_file() and any(path.exists() and real.samefile(path) for path in photographs):
            raise UserError(f"{option} must name another file than the photographs.", "Give another.", str(file))
        if is_image(file) and any(_is_searched(real, argument) for argument in arguments):
            rule = f"{option} must lie outside of the folders with the photos, or it would be taken for one."
            raise UserError(rule, "Name another place.", str(file))
        if real.exists() and not kind.may_replace(real):
            rule = f"{option} must name a new file, or {kind.earlier}."
            raise UserError(rule, "Name another file, or move this one away.", str(file))
        _make_folder(real.parent)
    except (OSError, RuntimeError) as error:  # a RuntimeError is a link that leads to itself
        rule = f"{option} must name a file that can be written, and {printable(file)} is none."
        raise UserError(rule, "Give another.", getattr(error, "strerror", None) or str(error)) from None


def check_distinct(first: str, file: Path, second: str, other: Path) -> None:
    """Raise UserError where two options name the same file."""
    if file.resolve() == other.resolve():
        raise UserError(f"{first} and {second} must name two files.", "Rename one.", str(file))


def check_folder(option: str, folder: Path, arguments: Sequence[str] = (), photographs: Sequence[Path] = ()) -> None:
    """Make a folder that pictures are added to, or say why it is none to write to.

    Args:
        option, arguments, photographs: as of `check_file`.

    Raises:
        UserError: no file can be written there; or pictures would lie where photographs are looked for, where they
            would be answered as photographs the next time, or take the place of one.
    """
    place = folder.resolve()
    parents = {path.parent.resolve() for path in photographs}
    if place in parents or any(_is_searched(place, argument) for argument in arguments):
        rule = (
            f"{option} must name a folder outside of those with the photos, or its pictures would be taken for photos."
        )
        raise UserError(rule, "Give another, beside them.", str(folder))
    try:
        _make_folder(folder)
    except OSError as error:
        rule = f"{option} must name a folder to write to, and {printable(folder)} cannot be one."
        raise UserError(rule, "Give another.", error.strerror) from None


def _make_folder(folder: Path) -> None:
    """With room for a small file: a full disk is known before any photograph is looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(_PROBE)


def _is_searched(place: Path, argument: str) -> bool:
    """Whether an argument finds pictures in the folder, or the picture, at `place`."""
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
