"""Files, folders and patterns to the image files that are meant."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.sources.image_files import SUFFIXES, Problem, is_file, is_image, is_system, walk

_KINDS = ", ".join(sorted(SUFFIXES))


def warn(path: Path, reason: str) -> None:
    """A `problem` of image_files.walk for who goes on with what can be read."""
    logger.warning("%s is passed over: %s", printable(path), reason)


def expand(arguments: Sequence[str]) -> list[Path]:
    """Image files, each once, in the order of the arguments; those of a folder or pattern sorted.

    Args:
        arguments: a file, taken whatever its suffix; a folder, searched at every depth; or a pattern of `glob`, where
            `**` matches folders too. In folders and patterns, files without an image's suffix, hidden ones and
            those of systems (image_files.LITTER) are passed over. Links are followed; a folder that cannot be read is
            named in a warning.

    Raises:
        UserError: something that is not there, or nothing found at all.
    """
    return checked(arguments, [path for argument in arguments for path in named(argument)])


def checked(arguments: Sequence[str], found: Sequence[Path]) -> list[Path]:
    """Each of `found` once; UserError where the arguments led to nothing."""
    if not found:
        raise UserError(
            f"There must be an image to look at: a file whose name ends in one of {_KINDS}.",
            "Give files, folders or patterns that hold some.",
            list(arguments)[:8],
        )
    return list(dict.fromkeys(found))


def named(argument: str) -> Iterator[Path]:
    """The image files of one argument of `expand`."""
    path = Path(argument)
    if argument and _is_folder(path):  # an empty argument is an unset variable, not this folder
        yield from inside(path)
    elif argument and os.path.exists(path):  # noqa: PTH110 - as in _is_folder
        yield path
    elif glob.has_magic(argument):
        yield from _matching(argument)
    else:
        raise UserError(f"There must be an image or a folder at {printable(argument)!r}.", "Check the name.")


def _matching(pattern: str) -> Iterator[Path]:
    """The image files of a pattern, each once: `**` follows a link that leads back, again and again."""
    known: set[tuple[str, str]] = set()
    for match in sorted(map(Path, glob.glob(pattern, recursive=True))):  # noqa: PTH207 - absolute ones too
        if any(map(is_system, match.parts)):
            continue
        found = (
            inside(match) if _is_folder(match) else filter(lambda path: is_file(path, warn), filter(is_image, [match]))
        )
        for path in found:
            place = os.path.realpath(path.parent), path.name
            if place not in known:
                known.add(place)
                yield path


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - False, where Path's raises, under a folder that nobody may look into


def inside(folder: Path, problem: Problem = warn) -> Iterator[Path]:
    """The images of a folder at every depth, links followed, in the order of their names."""
    for _, files in walk(folder, problem):
        yield from filter(is_image, files)
