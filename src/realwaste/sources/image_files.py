"""Names of files in folders of photographs: which are images, which belong to systems, and what a folder holds."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from realwaste.core.errors import UserError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"},
)
# What operating systems, NAS devices and packers leave among photographs, in lower case. Names that begin with a dot
# (.DS_Store, .Trash-1000, .@__thumb) are litter in folders without standing here; in a zip only what stands here is.
LITTER = frozenset(
    {
        *(".ds_store", ".trashes", ".spotlight-v100", ".fseventsd", "__macosx", "icon\r", "._icon\r"),  # macOS
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
        *("lost+found", ".directory"),  # Linux
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@recycle", "@recently-snapshot", ".@__thumb", "~snapshot"),  # NAS
    }
)
Problem = Callable[[Path, str], object]


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name. Whether its bytes are one is the reader's question."""
    return path.suffix.lower() in SUFFIXES


def is_system(name: str) -> bool:
    """Whether a system leaves files or folders of this name, in any letter case."""
    return name.lower() in LITTER or name.lower().startswith(".trash-")


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is passed over: hidden ones and those of systems."""
    return name.startswith(".") or is_system(name)


def walk(root: Path, problem: Problem) -> Iterator[tuple[Path, list[Path]]]:
    """Each folder at and under `root` with its files, sorted; litter and what is no regular file are passed over.

    Links to folders are followed, after the folders that are there without a link. Each folder is visited once, so that
    a link that leads back ends there.

    Args:
        problem: called with a path and the reason for each folder that cannot be read, each link to a folder that is
            visited already, and each link that leads nowhere.
    """
    visited: set[tuple[int, ...]] = set()
    waiting, found = [root], dict[Path, list[Path]]()
    while waiting:
        start = waiting.pop(0)
        for place, folders, files in os.walk(start, onerror=lambda error: _say(error, problem)):
            folder = Path(place)
            number = _number(folder)
            # Without a link no folder comes twice, and some network drives give several of them one number.
            if number in visited and start != root:
                problem(folder, "a link to a folder that is among the images already")
                folders.clear()
                continue
            visited.add(number)
            folders[:] = [name for name in sorted(folders) if not is_litter(name)]
            waiting += [folder / name for name in folders if os.path.islink(folder / name)]  # noqa: PTH114 - as below
            found[folder] = [folder / name for name in sorted(files) if is_file(folder / name, problem)]
    yield from sorted(found.items())


def refuse(path: Path, reason: str) -> None:
    """A `problem` for who needs all that is there: UserError."""
    rule = "Each folder and link among the images must be readable, and lead to files that are not among them already."
    raise UserError(rule, "Allow it to be read, mend or remove the link, or move it out.", f"{path}: {reason}")


def _number(folder: Path) -> tuple[int, ...]:
    """The same for each path of a folder; empty for one that has gone meanwhile."""
    with suppress(OSError):
        about = folder.stat()
        return about.st_dev, about.st_ino
    return ()


def _say(error: OSError, problem: Problem) -> None:
    problem(Path(error.filename), f"it cannot be read: {error.strerror}")


def is_file(path: Path, problem: Problem) -> bool:
    """Whether `path` is a regular file and no litter; `problem` is called for an image that cannot be reached."""
    if is_litter(path.name):
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        is_link = os.path.islink(path)  # noqa: PTH114 - Path's raises where the folder may be listed alone
        if (is_image(path) or not path.suffix) and (is_link or error.errno != errno.ENOENT):  # else it has gone
            problem(path, "a link that leads nowhere" if is_link else f"it cannot be read: {error.strerror}")
        return False
