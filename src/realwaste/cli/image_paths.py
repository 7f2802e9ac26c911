"""The image files that command-line arguments (files, folders, patterns) name."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.images.file_format import IMAGE_SUFFIXES
from realwaste.sources.image_files import OnProblem, is_accessible_file, is_image, is_system, walk_folders


def warn_skipped(path: Path, reason: str) -> None:
    """Log a warning; for the argument `on_problem` of image_files.walk_folders."""
    logger.warning("%s is skipped: %s", printable(path), reason)


def find_images(arguments: Sequence[str]) -> list[Path]:
    """The image files of all arguments, each once, in the order of the arguments; within a folder or pattern sorted.

    Args:
        arguments: files, whatever their suffix; folders, searched at every depth; or patterns of `glob`, where `**`
            matches folders too. In folders and patterns, files without an image's suffix, hidden files and those of
            operating systems (image_files.SYSTEM_NAMES) are skipped. Links are followed. A folder that cannot be read
            is named in a warning.

    Raises:
        UserError: an argument names nothing that exists; or there is no image.
    """
    return require_images(arguments, [path for argument in arguments for path in images_of(argument)])


def require_images(arguments: Sequence[str], paths: Sequence[Path]) -> list[Path]:
    """`paths` without duplicates; UserError if there are none."""
    if not paths:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        rule = f"There must be an image to predict: a file whose name ends in one of {suffixes}."
        raise UserError(rule, "Name files, or folders or patterns with images.", list(arguments)[:8])
    return list(dict.fromkeys(paths))


def images_of(argument: str) -> Iterator[Path]:
    """The image files of one argument of `find_images`."""
    path = Path(argument)
    if argument and _is_folder(path):  # an empty argument comes from an unset shell variable
        yield from images_in_folder(path)
    elif argument and os.path.exists(path):  # noqa: PTH110 - as in _is_folder
        yield path
    elif glob.has_magic(argument):
        yield from _matching(argument)
    else:
        raise UserError(f"There must be an image or a folder at {printable(argument)!r}.", "Check the name.")


def _matching(pattern: str) -> Iterator[Path]:
    """The image files of a pattern, each once: `**` follows links, so it may match a file several times."""
    visited: set[tuple[str, str]] = set()
    for match in sorted(map(Path, glob.glob(pattern, recursive=True))):  # noqa: PTH207 - absolute ones too
        if any(map(is_system, match.parts)):
            continue
        if _is_folder(match):
            paths = images_in_folder(match)
        else:
            paths = iter([match] if is_image(match) and is_accessible_file(match, warn_skipped) else [])
        for path in paths:
            place = os.path.realpath(path.parent), path.name
            if place not in visited:
                visited.add(place)
                yield path


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - returns False in a folder without permission, where Path.is_dir raises


def images_in_folder(folder: Path, problem: OnProblem = warn_skipped) -> Iterator[Path]:
    """The images in a folder at every depth, sorted by name; links are followed."""
    for _, files in walk_folders(folder, problem):
        yield from filter(is_image, files)
