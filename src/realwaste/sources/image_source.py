"""Where the images come from: RealWaste, a folder, zip, URL or table, or the synthetic set (report, section 1.2)."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pooch

from realwaste.core.errors import UnreachableError, UserError
from realwaste.core.file_names import safe_file_name
from realwaste.core.files import atomic_replace, is_stage_output
from realwaste.core.log import logger
from realwaste.sources import archive, class_folders, label_table, realwaste_files, synthetic, urls
from realwaste.sources.archive_entries import ArchiveError
from realwaste.sources.download_cache import fetch_cached
from realwaste.sources.stand_ins import StandIns

REALWASTE_URL = "https://archive.ics.uci.edu/static/public/908/realwaste.zip"
Origin = Literal["realwaste", "realwaste-part", "synthetic", "given"]


@dataclass(frozen=True)
class Dataset:
    """What was fetched.

    Attributes:
        dataset: its name wherever a number or a picture of it is shown.
        origin: what is known of it: "realwaste" is the published set, "realwaste-part" a part of its files, both by
            their bytes; "synthetic" generated pictures, and "given" whatever else, be it called RealWaste.
        source: where it came from, fit to be sent around: an address without secrets, the name alone of a path.
        images, classes: their numbers.
        sha256: of the zip or table that it came in; None for a folder and for generated pictures.
        published: what it has of RealWaste's files, as published.Comparison.state says it.
        differing: classes with other files than those published, of a set that has published ones; by commas.
    """

    dataset: str
    origin: Origin
    source: str
    images: int
    classes: int
    sha256: str | None
    published: str = realwaste_files.OTHER
    differing: str = ""
    parts: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Of each <Class>/<file>, its part of the split that the images came with; empty where they came without one."""


def fetch(
    source: str,
    target: Path,
    *,
    sha256: str | None,
    seed: int,
    images_per_class: int,
    stand_ins: StandIns,
    realwaste_url: str = REALWASTE_URL,
) -> Dataset:
    """Leave the images of `source` as target/<Class>/<file>; whole, or not at all.

    Raises:
        UserError: the source is not there, not whole, or not a folder-per-class set. Only where no server answered,
            and only for `auto`, the synthetic set is taken instead and noted in `stand_ins`.
    """
    if source == "synthetic":
        return _synthetic(target, images_per_class, seed)
    if source == "realwaste":
        return _known(_realwaste(realwaste_url, target, sha256), target)
    if source == "auto":
        try:
            return _known(_realwaste(realwaste_url, target, sha256), target)
        except UnreachableError as error:
            stand_ins.add("generated pictures instead of RealWaste's photographs", "fetch.source=realwaste", error)
            return _synthetic(target, images_per_class, seed)
    if "://" in source:
        urls.check(source)
        name = Path(urls.file_name(source)).stem
        return _known(_downloaded(source, target, sha256, name=name), target)
    return _known(_local(Path(source).expanduser(), target, sha256), target)


def _known(fetched: Dataset, target: Path) -> Dataset:
    """With what its bytes say of it; a name says nothing."""
    found = realwaste_files.compare(target)
    if found.differing:
        logger.warning(
            "%d of RealWaste's published files are here; these classes have others too: %s",
            found.files,
            ", ".join(found.differing),
        )
    origins: dict[str, Origin] = {realwaste_files.COMPLETE: "realwaste", realwaste_files.OTHER: "given"}
    origin = origins.get(found.state, "realwaste-part")
    return replace(fetched, origin=origin, published=found.state, differing=", ".join(found.differing))


def _realwaste(url: str, target: Path, sha256: str | None) -> Dataset:
    return _downloaded(url, target, sha256, name="RealWaste", counts=realwaste_files.COUNTS)


def _downloaded(
    url: str, target: Path, sha256: str | None, *, name: str, counts: dict[str, int] | None = None
) -> Dataset:
    digest = None if sha256 is None else f"sha256:{sha256}"
    cached = fetch_cached(url, check=archive.check, digest=digest)
    try:
        folders, parts = _unzip(cached.path, target, counts)
    except ArchiveError:
        cached.discard()  # else every later run would trust it
        raise
    return _given(name, urls.shown(url), folders, cached.sha256, parts)


def _given(
    name: str, source: str, folders: class_folders.ClassFolders, sha256: str | None, parts: Mapping[str, str]
) -> Dataset:
    return Dataset(name, "given", source, folders.images, len(folders.files), sha256, parts=parts)


def _local(path: Path, target: Path, sha256: str | None) -> Dataset:
    name = safe_file_name(path.resolve().name) or "images"
    if path.is_dir():
        folders = class_folders.find(path)
        return _given(name, name, folders, None, _copied(folders, target))
    if path.is_file():
        found = _checked(path, sha256)
        if path.suffix.lower() == label_table.SUFFIX:
            folders = label_table.find(path)
            return _given(Path(name).stem, name, folders, found, _copied(folders, target))
        folders, parts = _unzip(path, target)
        return _given(Path(name).stem, name, folders, found, parts)
    raise UserError(
        "fetch.source must be auto, realwaste, synthetic, an http(s) URL of a zip, or an existing folder, zip or CSV.",
        f"Check the path: from here it is {path.resolve()}. Queued and --temp experiments need an absolute one.",
        str(path),
    )


def _synthetic(target: Path, images_per_class: int, seed: int) -> Dataset:
    images = synthetic.generate(target, images_per_class=images_per_class, seed=seed)
    return Dataset("synthetic", "synthetic", "synthetic", images, len(synthetic.CLASSES), None)


def _copied(folders: class_folders.ClassFolders, target: Path) -> dict[str, str]:
    with atomic_replace(target, is_stage_output) as temporary:
        return class_folders.lay_out(folders, temporary, shutil.copyfile)


def _unzip(
    path: Path, target: Path, counts: dict[str, int] | None = None
) -> tuple[class_folders.ClassFolders, dict[str, str]]:
    """Leave the images of the zip at `target`; with `counts`, only if it has so many of each class and no other."""
    with atomic_replace(target, is_stage_output) as temporary:
        unpacked = temporary / ".unpacked"  # beside the classes, none of which has a hidden name
        archive.extract(path, unpacked)
        folders = class_folders.find(unpacked, path)
        if counts:
            _check_counts(path, folders, counts)
        parts = class_folders.lay_out(folders, temporary, os.replace)
        shutil.rmtree(unpacked)
    logger.info("unpacked %d images of %d classes from %s", folders.images, len(folders.files), path.name)
    return folders, parts


def _check_counts(path: Path, folders: class_folders.ClassFolders, counts: dict[str, int]) -> None:
    found = {label: len(files) for label, files in folders.files.items()}
    if found != counts:
        raise UserError(
            f"RealWaste must have its published {sum(counts.values())} images in {len(counts)} classes.",
            f"Delete {path} and try again, or take the zip as it is with -S \"fetch.source='{path}'\"",
            found,
        )


def _checked(path: Path, sha256: str | None) -> str:
    found = pooch.file_hash(str(path))
    if sha256 is not None and found != sha256.lower():
        raise UserError(f"{path} must have the sha256 of fetch.sha256.", "Correct the one or the other.", found)
    return found
