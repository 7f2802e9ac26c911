"""A folder-per-class image set, found at whatever depth it lies inside what was given."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.sources.file_names import folded, printable, unicode
from realwaste.sources.image_files import SUFFIXES, is_image, is_litter


@dataclass(frozen=True)
class ClassFolders:
    """Class folders that lie beside each other: class name → its image files, both sorted."""

    root: Path
    files: dict[str, list[Path]]

    @property
    def images(self) -> int:
        """How many images there are in all classes."""
        return sum(len(files) for files in self.files.values())


def find(root: Path, shown: Path | None = None, *, learned: bool = True) -> ClassFolders:
    """The folders under `root` that hold image files directly, all with one parent.

    Hidden files, what operating systems leave behind (`__MACOSX`, `Thumbs.db`) and files without an image's suffix
    are passed over, and so are images beside or above the class folders; how many is said. No bytes are looked at.

    Args:
        shown: what the errors call `root`, where that is a temporary folder.
        learned: whether a model is to learn from it. Else one class is enough, and names that differ by letter case
            alone are for the caller to join.

    Raises:
        UserError: too few class folders, other folders of images, a class without any, or names alike or no text.
    """
    shown = shown or root
    images, others = _scanned(root)
    holders: dict[Path, list[Path]] = defaultdict(list)
    for folder in images.keys() - {root}:
        holders[folder.parent].append(folder)
    parents = [parent for parent, folders in holders.items() if len(folders) > (1 if learned else 0)]
    if not parents:
        raise UserError(
            f"{shown} must hold one folder of images a class{', two classes at least' if learned else ''}.",
            "Lay the images out as <Class>/<image>.jpg, and give the folder that holds the classes.",
            sorted(str(path.relative_to(root)) for path in root.iterdir())[:8],
        )
    above = {parents[0], *parents[0].parents}
    outside = parents if len(parents) > 1 else images.keys() - above - set(holders[parents[0]])
    if outside:
        raise UserError(
            f"{shown} must hold its class folders in one place, and no folders of images outside of it.",
            "Give the folder that holds the classes; the pipeline makes the split itself.",
            sorted(str(path.relative_to(root)) for path in outside)[:8],
        )
    files = {folder: images[folder] for folder in sorted(holders[parents[0]])}
    _check_names(files, alike=not learned)
    _refuse_empty(parents[0], set(files))
    others.update(path.suffix.lower() for folder in images.keys() & above for path in images[folder])
    _say_passed_over(others)
    return ClassFolders(parents[0], {folder.name: own for folder, own in files.items()})


def _scanned(root: Path) -> tuple[dict[Path, list[Path]], Counter[str]]:
    """The images of each folder that directly holds any, and how many other files there are of each suffix."""
    images: dict[Path, list[Path]] = {}
    others: Counter[str] = Counter()
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        if any(map(is_litter, folder.relative_to(root).parts)):
            continue
        files = sorted(path for path in folder.iterdir() if path.is_file() and not is_litter(path.name))
        if own := [path for path in files if is_image(path)]:
            images[folder] = own
        passed = (path.suffix.lower() for path in files if not is_image(path))
        others.update(suffix or "without a suffix" for suffix in passed)
    return images, others


def _say_passed_over(others: Counter[str]) -> None:
    if others:
        count = ", ".join(f"{number} {printable(suffix)}" for suffix, number in others.most_common())
        logger.info("%d files passed over: %s", others.total(), count)


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


def _check_names(folders: dict[Path, list[Path]], *, alike: bool) -> None:
    known: dict[str, Path] = {}
    for folder, files in folders.items():
        for path in (folder, *files):
            if unicode(path.name) != path.name:
                raise UserError(
                    "Names of classes and images must be UTF-8.",
                    "Rename it.",
                    printable(path.relative_to(folder.parent)),
                )
        if (other := known.setdefault(folded(folder.name), folder)) != folder and not alike:
            raise UserError(
                "Names of classes must differ by more than letter case or Unicode form.",
                "Put the images of both in one folder, or rename one.",
                [other.name, folder.name],
            )


def _refuse_empty(parent: Path, classes: set[Path]) -> None:
    for folder in sorted(parent.iterdir()):
        if folder.is_dir() and folder not in classes and not is_litter(folder.name):
            raise UserError(
                f"Every class folder must hold images, and {folder.name!r} holds none.",
                f"Put images ({', '.join(sorted(SUFFIXES))}) in it, or move the folder out of {parent}.",
            )
