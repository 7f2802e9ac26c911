"""Which files in a folder are images, by their names; hidden and system files; and a walk through folders."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.images.file_format import IMAGE_SUFFIXES

# Files and folders that operating systems, NAS devices and archivers create, in lower case. In folders all names that
# begin with a dot are skipped (.Trash-1000); in a zip only the names in this list are.
SYSTEM_NAMES = frozenset(
    {
        *(".ds_store", ".trashes", ".spotlight-v100", ".fseventsd", "__macosx", "icon\r", "._icon\r"),  # macOS
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
        *("lost+found", ".directory"),  # Linux
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@recycle", "@recently-snapshot", ".@__thumb", "~snapshot"),  # NAS
    }
)
OnProblem = Callable[[Path, str], object]


def is_image(path: Path) -> bool:
    """Whether a file has the suffix of an image. Its contents are checked by the image reader."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_system(name: str) -> bool:
    """Whether an operating system or device creates files or folders of this name, in any letter case."""
    return name.lower() in SYSTEM_NAMES or name.lower().startswith(".trash-")


def is_hidden_or_system(name: str) -> bool:
    """Whether a file or folder of this name is skipped: it is hidden, or a system file."""
    return name.startswith(".") or is_system(name)


def walk_folders(root: Path, on_problem: OnProblem) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder at and under `root` with its files, sorted. Hidden, system and special files are skipped.

    Links to folders are followed after all real folders. Each folder is visited once, so that cycles end.

    Args:
        on_problem: called with a path and a reason for each unreadable folder, each link to a visited folder, and each
            broken link.
    """

    def report_unreadable(error: OSError) -> None:
        on_problem(Path(error.filename), f"it cannot be read: {error.strerror}")

    visited: set[tuple[int, ...]] = set()
    pending, files_by_folder = [root], dict[Path, list[Path]]()
    while pending:
        start = pending.pop(0)
        for path, folders, files in os.walk(start, onerror=report_unreadable):
            folder = Path(path)
            folder_id = _folder_id(folder)
            # Only a link leads to a folder again; some network drives use one inode number for several folders.
            if folder_id in visited and start != root:
                on_problem(folder, "a link to a folder that is among the images already")
                folders.clear()
                continue
            visited.add(folder_id)
            folders[:] = [name for name in sorted(folders) if not is_hidden_or_system(name)]
            pending += [folder / name for name in folders if os.path.islink(folder / name)]  # noqa: PTH114 - as below
            files_by_folder[folder] = [
                folder / name for name in sorted(files) if is_accessible_file(folder / name, on_problem)
            ]
    yield from sorted(files_by_folder.items())


def refuse_problem(path: Path, reason: str) -> None:
    """An `on_problem` for callers that need all files: raises UserError."""
    rule = "Each folder and link among the images must be readable, and lead to files that are not among them already."
    raise UserError(rule, "Allow it to be read, repair or remove the link, or move it out.", f"{path}: {reason}")


def _folder_id(folder: Path) -> tuple[int, ...]:
    """Device and inode of a folder, the same for all its paths; empty if it was removed meanwhile."""
    with suppress(OSError):
        status = folder.stat()
        return status.st_dev, status.st_ino
    return ()


def is_accessible_file(path: Path, on_problem: OnProblem) -> bool:
    """Whether `path` is a regular file that is not skipped; `on_problem` is called for an unreachable image."""
    if is_hidden_or_system(path.name):
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        is_link = os.path.islink(path)  # noqa: PTH114 - Path.is_symlink raises if the folder may only be listed
        if (is_image(path) or not path.suffix) and (is_link or error.errno != errno.ENOENT):  # otherwise it was removed
            on_problem(path, "a link that leads nowhere" if is_link else f"it cannot be read: {error.strerror}")
        return False
