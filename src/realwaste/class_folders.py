"""A folder-per-class image set, found at whatever depth it lies inside what was given."""

import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from realwaste.atomic import replacing
from realwaste.errors import UserError
from realwaste.images import SUFFIXES


@dataclass(frozen=True)
class ClassFolders:
    """Class folders that lie beside each other: class name → its image files, both sorted."""

    root: Path
    files: dict[str, list[Path]]

    @property
    def images(self) -> int:
        return sum(len(files) for files in self.files.values())


def find(root: Path) -> ClassFolders:
    """The folders under `root` that hold image files directly, all with one parent.

    Hidden files, what operating systems leave behind (`__MACOSX`, `Thumbs.db`) and files without an image's suffix
    are passed over; whether a file with such a suffix is an image is validate_images' question.

    Raises:
        UserError: no class folders, fewer than two, class folders in several places, or a class without an image.
    """
    holders: dict[Path, dict[Path, list[Path]]] = defaultdict(dict)
    for folder in sorted([root, *(path for path in root.rglob("*") if path.is_dir())]):
        if _is_litter(folder.relative_to(root)):
            continue
        images = sorted(path for path in folder.iterdir() if _looks_like_image(path))
        if images and folder != root:
            holders[folder.parent][folder] = images
    roots = {parent: folders for parent, folders in holders.items() if len(folders) > 1}
    if not roots:
        raise UserError(
            f"{root} must hold one folder of images a class, two classes at least.",
            "Lay the images out as <Class>/<image>.jpg, or point fetch.source at the folder that holds the classes.",
            sorted(str(path.relative_to(root)) for path in root.iterdir())[:8],
        )
    if len(roots) > 1:
        raise UserError(
            f"{root} must hold its class folders in one place.",
            "Point fetch.source at one of the received folders; the pipeline makes the split itself.",
            sorted(str(path.relative_to(root)) for path in roots),
        )
    parent, folders = roots.popitem()
    _refuse_empty(parent, set(folders))
    return ClassFolders(parent, {folder.name: files for folder, files in sorted(folders.items())})


def copy(folders: ClassFolders, target: Path) -> None:
    """Copy the images to target/<Class>/<file>. A link would let DVC's cache alter the originals."""
    with replacing(target) as temporary:
        for label, files in folders.files.items():
            (temporary / label).mkdir(parents=True)
            for file in files:
                try:
                    shutil.copyfile(file, temporary / label / file.name)
                except PermissionError as error:
                    raise UserError(f"{file} must be readable.", "Run chmod u+r on it, or move it out.") from error


def _refuse_empty(parent: Path, classes: set[Path]) -> None:
    for folder in sorted(parent.iterdir()):
        if folder.is_dir() and folder not in classes and not _is_litter(folder.relative_to(parent)):
            raise UserError(
                f"Every class folder must hold images, and {folder.name!r} holds none.",
                f"Put images ({', '.join(sorted(SUFFIXES))}) in it, or move the folder out of {parent}.",
            )


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not _is_litter(Path(path.name)) and path.is_file()


def _is_litter(inside: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)
