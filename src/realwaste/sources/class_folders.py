"""Finds class folders of images at any depth of a folder, or train/ and test/ folders with class folders in them."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.file_names import fold_name, printable, to_unicode
from realwaste.core.log import logger
from realwaste.dataset.labels import PARTS
from realwaste.images.file_format import IMAGE_SUFFIXES
from realwaste.sources.image_files import is_hidden_or_system, is_image, refuse_problem, walk_folders

# Names of folders inside class folders that state how their images were made.
_CAPTURE_KIND = re.compile(r"default|real[ _-]?(world|life)|studio|original|augmented|synthetic|images", re.IGNORECASE)
_SYNONYMS = {"train": ("training",), "val": ("valid", "validation", "dev"), "test": ("testing",)}
_PART_OF_NAME = {name: part for part in PARTS for name in (part, *_SYNONYMS[part])}
PART_NAMES = f"{', '.join(PARTS)} (or {', '.join(name for name in _PART_OF_NAME if name not in PARTS)})"


@dataclass(frozen=True)
class ClassFolders:
    """The image files of each class below `root`, both sorted, and the part of the split that each came in, if any."""

    root: Path
    files: dict[str, list[Path]]
    parts: dict[Path, str] = field(default_factory=dict)

    @property
    def image_count(self) -> int:
        """The number of images in all classes."""
        return sum(len(files) for files in self.files.values())

    def target_paths(self) -> dict[Path, str]:
        """The path <Class>/<file> of each file below a target folder.

        If two files of a class have the same name, folder names are put in front of all names: `test-Glass-1.jpg`.

        Raises:
            UserError: two files would still have the same path.
        """
        has_equal_names = any(len({file.name for file in files}) < len(files) for files in self.files.values())
        target_paths = {
            file: f"{label}/{'-'.join(file.relative_to(self.root).parts) if has_equal_names else file.name}"
            for label, class_files in self.files.items()
            for file in class_files
        }
        for target, count in Counter(target_paths.values()).items():
            if count > 1:
                rule = "Two images of a class must not get the same name when folders are joined with hyphens."
                files = [str(file) for file in target_paths if target_paths[file] == target]
                raise UserError(rule, "Rename one of them.", files)
        return target_paths


def parse_part(name: str) -> str | None:
    """The part (train, val or test) that a folder or table means by this name, in any letter case; else None."""
    return _PART_OF_NAME.get(name.strip().casefold())


def find(root: Path, display_path: Path | None = None, *, for_training: bool = True) -> ClassFolders:
    """Find the folders under `root` that directly contain images: siblings, or in sibling folders train, val and test.

    Skipped are hidden files, system files (image_files.SYSTEM_NAMES), files without an image's suffix, and images
    beside or above the class folders; the log counts them. Links are followed. File contents are not read.

    Args:
        display_path: the name of `root` in errors, if `root` is a temporary folder.
        for_training: False accepts a single class and class names that differ only in letter case, which the caller
            merges, but no split into train and test.

    Raises:
        UserError: too few class folders, images in other folders, an empty class, or similar or invalid names.
    """
    images, skipped = _scan(root)
    by_parent: dict[Path, list[Path]] = defaultdict(list)
    for folder in images.keys() - {root}:
        by_parent[folder.parent].append(folder)
    part_of = _split_folders(by_parent) if for_training else {}
    min_classes = 2 if for_training else 1
    parents = list(part_of) or [parent for parent, folders in by_parent.items() if len(folders) >= min_classes]
    class_folders = sorted((folder for parent in parents for folder in by_parent[parent]), key=lambda it: (it.name, it))
    folders_above = {folder for parent in parents for folder in (parent, *parent.parents)}
    is_scattered = len(parents) > 1 and not part_of
    stray_folders = set(parents) if is_scattered else images.keys() - folders_above - set(class_folders)
    _check_layout(root, display_path or root, class_folders, stray_folders, for_training=for_training)
    _check_names({folder: images[folder] for folder in class_folders}, allow_similar=not for_training)
    for parent in parents:
        _refuse_empty(parent, class_folders)
    skipped.update(path.suffix.lower() for folder in images.keys() & folders_above for path in images[folder])
    if skipped:
        counts = ", ".join(f"{number} {printable(suffix)}" for suffix, number in skipped.most_common())
        logger.info("%d files skipped: %s", skipped.total(), counts)
    files: dict[str, list[Path]] = defaultdict(list)
    for folder in class_folders:
        files[folder.name] += images[folder]
    parts = {file: part for parent, part in part_of.items() for folder in by_parent[parent] for file in images[folder]}
    return ClassFolders(parents[0].parent if part_of else parents[0], dict(files), parts)


def _merge_capture_kinds(images: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Merge <Class>/default, <Class>/real_world and the like into <Class>, if at least two classes have them."""
    kinds = {folder for folder in images if _CAPTURE_KIND.fullmatch(folder.name) and not parse_part(folder.parent.name)}
    class_count = Counter(class_folder.parent for class_folder in {kind.parent for kind in kinds})
    merged: dict[Path, list[Path]] = defaultdict(list)
    for folder, files in images.items():
        is_merged = folder in kinds and class_count[folder.parent.parent] > 1
        merged[folder.parent if is_merged else folder] += files
    if kind_names := {folder.name for folder in images.keys() - merged.keys()}:
        logger.info("folders called %s count as the class that they are in", ", ".join(sorted(kind_names)))
    return {folder: sorted(files) for folder, files in merged.items()}


def _check_layout(
    root: Path, display_path: Path, class_folders: list[Path], stray_folders: set[Path], *, for_training: bool
) -> None:
    """Raise UserError for too few classes (folders train and test are none), or for images in stray folders."""
    names = {folder.name for folder in class_folders}
    two_classes = ", two classes at least" if for_training else ""
    parts_layout = ", or as train/<Class>/<image>.jpg and test/<Class>/<image>.jpg" if for_training else ""
    or_parts = ", or that of train, test and perhaps val with the classes in each" if for_training else ""
    if len(names) < (2 if for_training else 1) or (for_training and all(map(parse_part, names))):
        rule = f"{display_path} must hold one folder of images per class{two_classes}."
        remedy = f"Lay the images out as <Class>/<image>.jpg{parts_layout}, and give the folder that holds these."
        raise UserError(rule, remedy, sorted(str(path.relative_to(root)) for path in root.iterdir())[:8])
    if stray_folders:
        rule = f"{display_path} must hold its class folders in one place, and no folders of images outside of it."
        remedy = f"Give the folder that holds the classes{or_parts}."
        raise UserError(rule, remedy, sorted(str(path.relative_to(root)) for path in stray_folders)[:8])


def _split_folders(by_parent: dict[Path, list[Path]]) -> dict[Path, str]:
    """The part of each folder if sibling folders are at least two of train, val and test, each once; else empty."""
    parts = {parent: part for parent in by_parent if (part := parse_part(parent.name)) is not None}
    are_siblings = len({parent.parent for parent in parts}) == 1
    return parts if are_siblings and 1 < len(parts) == len(set(parts.values())) else {}


def _scan(root: Path) -> tuple[dict[Path, list[Path]], Counter[str]]:
    """The images in each folder, or in the one above a capture kind, and the number of other files by suffix."""
    images: dict[Path, list[Path]] = {}
    skipped: Counter[str] = Counter()
    for folder, files in walk_folders(root, refuse_problem):
        if folder_images := [path for path in files if is_image(path)]:
            images[folder] = folder_images
        skipped.update(path.suffix.lower() or "without a suffix" for path in files if not is_image(path))
    return _merge_capture_kinds(images), skipped


def lay_out(folders: ClassFolders, target: Path, transfer: Callable[[Path, Path], object]) -> dict[str, str]:
    """Copy or move the images to target/<Class>/<file>; return `folders.parts`, with paths relative to `target`.

    In an output of a stage, `transfer` must not link, because DVC's cache would then change the originals.
    """
    targets = folders.target_paths()
    for label in folders.files:
        (target / label).mkdir(parents=True)
    for file, target_path in targets.items():
        try:
            transfer(file, target / target_path)
        except PermissionError as error:
            raise UserError(f"{file} must be readable.", "Run chmod u+r on it, or move it out.") from error
    return {targets[file]: part for file, part in folders.parts.items()}


def _check_names(folders: dict[Path, list[Path]], *, allow_similar: bool) -> None:
    names: dict[str, str] = {}
    for folder, files in folders.items():
        for path in (folder, *files):
            if to_unicode(path.name) != path.name:
                shown = printable(path.relative_to(folder.parent))
                raise UserError("Names of classes and images must be UTF-8.", "Rename it.", shown)
        if not allow_similar:
            refuse_similar_names(names, folder.name)


def refuse_similar_names(names: dict[str, str], label: str) -> None:
    """Raise UserError if `label` differs from an earlier name only in letter case or Unicode normalization.

    `names` has the earlier names by their folded forms; `label` is added.
    """
    if (other := names.setdefault(fold_name(label), label)) != label:
        rule = "Names of classes must differ by more than letter case or Unicode form."
        raise UserError(rule, "Put the images of both in one folder, or rename one.", [other, label])


def _refuse_empty(parent: Path, class_folders: list[Path]) -> None:
    for folder in sorted(parent.iterdir()):
        if folder.is_dir() and folder not in class_folders and not is_hidden_or_system(folder.name):
            suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
            rule = f"Every class folder must hold images, and {folder.name!r} holds none."
            raise UserError(rule, f"Put images ({suffixes}) in it, or move the folder out of {parent}.")
