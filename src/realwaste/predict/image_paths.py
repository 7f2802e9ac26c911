"""Files, folders and patterns to the image files that are meant."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.sources.file_names import printable
from realwaste.sources.image_files import LITTER, SUFFIXES, is_image, is_litter

_KINDS = ", ".join(sorted(SUFFIXES))


def expand(arguments: Sequence[str]) -> list[Path]:
    """Image files, each once, in the order of the arguments; those of a folder or pattern sorted.

    Args:
        arguments: a file, taken whatever its suffix; a folder, searched at every depth; or a pattern of `glob`, where
            `**` matches folders too. In folders and patterns, files without an image's suffix, hidden ones and
            `__MACOSX` are passed over.

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
    if argument and path.is_dir():  # an empty argument is an unset variable, not this folder
        yield from inside(path)
    elif argument and path.exists():
        yield path
    elif glob.has_magic(argument):
        for match in sorted(map(Path, glob.glob(argument, recursive=True))):  # noqa: PTH207 - absolute ones too
            if not LITTER.intersection(match.parts):
                yield from inside(match) if match.is_dir() else filter(_looks_like_image, [match])
    else:
        raise UserError(f"There must be an image or a folder at {printable(argument)!r}.", "Check the name.")


def inside(folder: Path) -> Iterator[Path]:
    """The images of a folder at every depth, in the order of their names."""
    # Links to folders are not followed: they may lead back here.
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        yield from filter(_looks_like_image, (Path(place, name) for name in sorted(files)))


def _looks_like_image(path: Path) -> bool:
    return is_image(path) and not is_litter(path.name) and path.is_file()
