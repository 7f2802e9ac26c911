"""A folder-per-class image set, found at whatever depth it lies inside what was given."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from realwaste.errors import UserError
from realwaste.images import SUFFIXES
from realwaste.log import logger
from realwaste.names import folded, printable, unicode


@dataclass(frozen=True)
class ClassFolders:
    """Class folders that lie beside each other: class name → its image files, both sorted."""

    root: Path
    files: dict[str, list[Path]]

    @property
    def images(self) -> int:
        return sum(len(files) for files in self.files.values())


def find(root: Path, shown: Path | None = None) -> ClassFolders:
    """The folders under `root` that hold image files directly, all with one parent.

    Hidden files, what operating systems leave behind (`__MACOSX`, `Thumbs.db`) and files without an image's suffix
    are passed over, and how many is said; whether a file with such a suffix is an image is validate_images' question.

    Args:
        shown: what the errors call `root`, where that is a temporary folder.

    Raises:
        UserError: no class folders, fewer than two, images outside of them, a class without an image, or names that
            cannot be told apart or written.
    """
    shown = shown or root
    holders: dict[Path, dict[Path, list[Path]]] = defaultdict(dict)
    others: Counter[str] = Counter()
    for folder in sorted([root, *(path for path in root.rglob("*") if path.is_dir())]):
        if _is_litter(folder.relative_to(root)):
            continue
        files = sorted(path for path in folder.iterdir() if path.is_file() and not _is_litter(Path(path.name)))
        images = [path for path in files if path.suffix.lower() in SUFFIXES]
        if images and folder != root:
            holders[folder.parent][folder] = images
        passed = files if folder == root else set(files) - set(images)
        others.update(path.suffix.lower() or "without a suffix" for path in passed if path.name != "Thumbs.db")
    roots = {parent: folders for parent, folders in holders.items() if len(folders) > 1}
    if not roots:
        raise UserError(
            f"{shown} must hold one folder of images a class, two classes at least.",
            "Lay the images out as <Class>/<image>.jpg, or point fetch.source at the folder that holds the classes.",
            sorted(str(path.relative_to(root)) for path in root.iterdir())[:8],
        )
    if len(holders) > 1:
        raise UserError(
            f"{shown} must hold its class folders in one place, and no images outside of them.",
            "Point fetch.source at the folder that holds the classes; the pipeline makes the split itself.",
            _outside(root, holders, roots),
        )
    ((parent, folders),) = roots.items()
    _check_names(folders)
    _refuse_empty(parent, set(folders))
    if others:
        count = ", ".join(f"{number} {printable(suffix)}" for suffix, number in others.most_common())
        logger.info("%d files passed over: %s", others.total(), count)
    return ClassFolders(parent, {folder.name: files for folder, files in sorted(folders.items())})


def lay_out(folders: ClassFolders, target: Path, put: Callable[[Path, Path], object]) -> None:
    """Bring the images to target/<Class>/<file> by `put`: shutil.copyfile, or os.replace where they may be moved.

    A link would let DVC's cache alter the originals.
    """
    for label, files in folders.files.items():
        (target / label).mkdir(parents=True)
        for file in files:
            try:
                put(file, target / label / file.name)
            except PermissionError as error:
                raise UserError(f"{file} must be readable.", "Run chmod u+r on it, or move it out.") from error


def _outside(
    root: Path, holders: dict[Path, dict[Path, list[Path]]], roots: dict[Path, dict[Path, list[Path]]]
) -> object:
    """The places that classes may be in, where there are several, or else the folders that would be lost."""
    places = roots if len(roots) > 1 else [folder for parent in holders.keys() - roots for folder in holders[parent]]
    return sorted(str(path.relative_to(root)) for path in places)[:8]


def _check_names(folders: dict[Path, list[Path]]) -> None:
    alike: dict[str, Path] = {}
    for folder, files in folders.items():
        for path in (folder, *files):
            if unicode(path.name) != path.name:
                raise UserError(
                    "Names of classes and images must be UTF-8.",
                    "Rename it.",
                    printable(path.relative_to(folder.parent)),
                )
        if (other := alike.setdefault(folded(folder.name), folder)) != folder:
            raise UserError(
                "Names of classes must differ by more than letter case or Unicode form.",
                "Put the images of both in one folder, or rename one.",
                [other.name, folder.name],
            )


def _refuse_empty(parent: Path, classes: set[Path]) -> None:
    for folder in sorted(parent.iterdir()):
        if folder.is_dir() and folder not in classes and not _is_litter(folder.relative_to(parent)):
            raise UserError(
                f"Every class folder must hold images, and {folder.name!r} holds none.",
                f"Put images ({', '.join(sorted(SUFFIXES))}) in it, or move the folder out of {parent}.",
            )


def _is_litter(inside: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)
