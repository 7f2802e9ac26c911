"""A folder-per-class image set, or train/ and test/ of such folders, at whatever depth it lies in what was given."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.file_names import fold_name, printable, to_unicode
from realwaste.core.log import logger
from realwaste.sources.image_files import SUFFIXES, is_image, is_litter, refuse, walk
from realwaste.sources.split_names import part_of

# Folders inside of class folders that say where their pictures come from.
_KIND = re.compile(r"default|real[ _-]?(world|life)|studio|original|augmented|synthetic|images", re.IGNORECASE)


@dataclass(frozen=True)
class ClassFolders:
    """Images by class.

    Attributes:
        root: the folder that all of them are in.
        files: class name → its image files, both sorted.
        parts: of each file, its part of the split that the images came with; empty where they came without one.
    """

    root: Path
    files: dict[str, list[Path]]
    parts: dict[Path, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many images there are in all classes."""
        return sum(len(files) for files in self.files.values())

    def places(self) -> dict[Path, str]:
        """Of each file, <Class>/<file>: a path for it among class folders, by its own name.

        Where two files of a class have one name, all begin with that of their folders: `test-Glass-1.jpg`.

        Raises:
            UserError: two that are still called alike.
        """
        alike = any(len({file.name for file in own}) < len(own) for own in self.files.values())
        places = {
            file: f"{label}/{'-'.join(file.relative_to(self.root).parts) if alike else file.name}"
            for label, own in self.files.items()
            for file in own
        }
        for place, count in Counter(places.values()).items():
            if count > 1:
                rule = "Images of a class must differ in more than a hyphen in place of a folder."
                raise UserError(rule, "Rename one of them.", [str(file) for file in places if places[file] == place])
        return places


def find(root: Path, shown: Path | None = None, *, learned: bool = True) -> ClassFolders:
    """The folders under `root` that hold image files directly, all with one parent, or with parents as train and test.

    Hidden files, what systems leave behind (image_files.LITTER) and files without an image's suffix are passed over,
    and so are images beside or above the class folders; how many is said. Links are followed. No bytes are looked at.

    Args:
        shown: what the errors call `root`, where that is a temporary folder.
        learned: whether a model is to learn from it. Else one class is enough, names that differ by letter case alone
            are for the caller to join, and the classes must have one parent.

    Raises:
        UserError: too few class folders, other folders of images, a class without any, or names alike or no text.
    """
    shown = shown or root
    images, others = _scanned(root)
    images = _without_kinds(images)
    holders: dict[Path, list[Path]] = defaultdict(list)
    for folder in images.keys() - {root}:
        holders[folder.parent].append(folder)
    parts = _parts(holders) if learned else {}
    parents = list(parts) or [parent for parent, own in holders.items() if len(own) > (1 if learned else 0)]
    own = {folder for parent in parents for folder in holders[parent]}
    above = {place for parent in parents for place in (parent, *parent.parents)}
    outside = parents if len(parents) > 1 and not parts else images.keys() - above - own
    _check_layout(root, shown, own, set(outside), learned=learned)
    files = {folder: images[folder] for folder in sorted(own)}
    _check_names(files, alike=not learned)
    for parent in parents:
        _refuse_empty(parent, own)
    others.update(path.suffix.lower() for folder in images.keys() & above for path in images[folder])
    _say_passed_over(others)
    return _joined(parents[0].parent if parts else parents[0], files, parts)


def _without_kinds(images: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """<Class>/default and <Class>/real_world, of two classes at least, as <Class>: these names say how, not what."""
    inside = {folder: folder.parent for folder in images if _KIND.fullmatch(folder.name)}
    classes = {parent for parent in inside.values() if part_of(parent.name) is None}
    joined: dict[Path, list[Path]] = defaultdict(list)
    for folder, files in images.items():
        parent = inside.get(folder)
        beside = {other for other in classes if parent in classes and other.parent == folder.parent.parent}
        joined[folder.parent if len(beside) > 1 else folder] += files
    if names := {folder.name for folder in images.keys() - joined.keys()}:
        logger.info("folders called %s count as the class that they are in", ", ".join(sorted(names)))
    return {folder: sorted(files) for folder, files in joined.items()}


def _check_layout(root: Path, shown: Path, own: set[Path], outside: set[Path], *, learned: bool) -> None:
    """Of class folders, and of folders of images that are none; where only train and test are left, there are none."""
    names = {folder.name for folder in own}
    if len(names) < (2 if learned else 1) or (learned and all(part_of(name) is not None for name in names)):
        raise UserError(
            f"{shown} must hold one folder of images a class{', two classes at least' if learned else ''}.",
            "Lay the images out as <Class>/<image>.jpg, or as train/<Class>/<image>.jpg and test/<Class>/<image>.jpg, "
            "and give the folder that holds these."
            if learned
            else "Lay the images out as <Class>/<image>.jpg, and give the folder that holds the classes.",
            sorted(str(path.relative_to(root)) for path in root.iterdir())[:8],
        )
    if outside:
        raise UserError(
            f"{shown} must hold its class folders in one place, and no folders of images outside of it.",
            "Give the folder that holds the classes, or that of train, test and perhaps val with the classes in each."
            if learned
            else "Give the folder that holds the classes.",
            sorted(str(path.relative_to(root)) for path in outside)[:8],
        )


def _parts(holders: dict[Path, list[Path]]) -> dict[Path, str]:
    """The folders of a split that was given, train and test or more of them beside each other, and their parts."""
    found = {parent: part for parent in holders if (part := part_of(parent.name)) is not None}
    beside = len({parent.parent for parent in found}) == 1
    return found if beside and 1 < len(found) == len(set(found.values())) else {}


def _joined(root: Path, images: dict[Path, list[Path]], parts: dict[Path, str]) -> ClassFolders:
    files: dict[str, list[Path]] = {name: [] for name in sorted({folder.name for folder in images})}
    for folder, own in images.items():
        files[folder.name] += own
    split = {file: parts[folder.parent] for folder, own in images.items() for file in own} if parts else {}
    return ClassFolders(root, files, split)


def _scanned(root: Path) -> tuple[dict[Path, list[Path]], Counter[str]]:
    """The images of each folder that directly holds any, and how many other files there are of each suffix."""
    images: dict[Path, list[Path]] = {}
    others: Counter[str] = Counter()
    for folder, files in walk(root, refuse):
        if own := [path for path in files if is_image(path)]:
            images[folder] = own
        others.update(path.suffix.lower() or "without a suffix" for path in files if not is_image(path))
    return images, others


def _say_passed_over(others: Counter[str]) -> None:
    if others:
        count = ", ".join(f"{number} {printable(suffix)}" for suffix, number in others.most_common())
        logger.info("%d files passed over: %s", others.total(), count)


def lay_out(folders: ClassFolders, target: Path, put: Callable[[Path, Path], object]) -> dict[str, str]:
    """Bring the images to target/<Class>/<file> by `put`: shutil.copyfile, or os.replace where they may be moved.

    A link would let DVC's cache alter the originals.

    Returns:
        What `folders.parts` says, by the paths below `target`.
    """
    places = folders.places()
    for label in folders.files:
        (target / label).mkdir(parents=True)
    for file, place in places.items():
        try:
            put(file, target / place)
        except PermissionError as error:
            raise UserError(f"{file} must be readable.", "Run chmod u+r on it, or move it out.") from error
    return {places[file]: part for file, part in folders.parts.items()}


def _check_names(folders: dict[Path, list[Path]], *, alike: bool) -> None:
    known: dict[str, str] = {}
    for folder, files in folders.items():
        for path in (folder, *files):
            if to_unicode(path.name) != path.name:
                raise UserError(
                    "Names of classes and images must be UTF-8.",
                    "Rename it.",
                    printable(path.relative_to(folder.parent)),
                )
        if not alike:
            refuse_alike(known, folder.name)


def refuse_alike(known: dict[str, str], label: str) -> None:
    """Raise UserError where `known` has a class of another name that is the same but for letter case or Unicode form.

    Args:
        known: the names so far, by their folded forms; `label` is added to them.
    """
    if (other := known.setdefault(fold_name(label), label)) != label:
        raise UserError(
            "Names of classes must differ by more than letter case or Unicode form.",
            "Put the images of both in one folder, or rename one.",
            [other, label],
        )


def _refuse_empty(parent: Path, classes: set[Path]) -> None:
    for folder in sorted(parent.iterdir()):
        if folder.is_dir() and folder not in classes and not is_litter(folder.name):
            raise UserError(
                f"Every class folder must hold images, and {folder.name!r} holds none.",
                f"Put images ({', '.join(sorted(SUFFIXES))}) in it, or move the folder out of {parent}.",
            )
