"""Fetches the images from RealWaste, a folder, zip, URL or table, or generates them (report, section 1.2)."""

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
    """A record of the fetched images.

    Attributes:
        dataset: the name that is shown with all results.
        origin: "realwaste" for the published set and "realwaste-part" for a part of it, both recognized by their bytes;
            "synthetic" for generated images; "given" for everything else, whatever its name.
        source: where the images came from, safe to publish: a URL without secrets, or only the name of a path.
        images, classes: their numbers.
        sha256: of the zip or table; None for a folder and for generated images.
        published: how it compares with RealWaste's published files, see realwaste_files.Comparison.state.
        differing: classes that have other files than the published ones, separated by commas; see
            realwaste_files.Comparison.differing.
        parts: the part of the split that each <Class>/<file> came in; empty if the images came without a split.
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
    """Write the images of `source` to target/<Class>/<file>, all of them or none.

    If `source` is `auto` and no server answers, images are generated instead, and `stand_ins` records that.

    Raises:
        UserError: the source does not exist, is incomplete, or has no class folders.
    """
    if source == "synthetic":
        return _generate_synthetic(target, images_per_class, seed)
    if source == "realwaste":
        return _compare_with_published(_fetch_realwaste(realwaste_url, target, sha256), target)
    if source == "auto":
        try:
            return _compare_with_published(_fetch_realwaste(realwaste_url, target, sha256), target)
        except UnreachableError as error:
            stand_ins.add("generated pictures instead of RealWaste's photographs", "fetch.source=realwaste", error)
            return _generate_synthetic(target, images_per_class, seed)
    if "://" in source:
        urls.check(source)
        name = Path(urls.file_name(source)).stem
        return _compare_with_published(_download(source, target, sha256, name=name), target)
    return _compare_with_published(_fetch_local(Path(source).expanduser(), target, sha256), target)


def _compare_with_published(fetched: Dataset, target: Path) -> Dataset:
    """Set the attributes that depend on the files' bytes: origin, published and differing."""
    comparison = realwaste_files.compare(target)
    if comparison.differing:
        logger.warning(
            "%d of RealWaste's published files were fetched, but these classes have other files too: %s",
            comparison.files,
            ", ".join(comparison.differing),
        )
    origins: dict[str, Origin] = {realwaste_files.COMPLETE: "realwaste", realwaste_files.OTHER: "given"}
    origin = origins.get(comparison.state, "realwaste-part")
    return replace(fetched, origin=origin, published=comparison.state, differing=", ".join(comparison.differing))


def _fetch_realwaste(url: str, target: Path, sha256: str | None) -> Dataset:
    return _download(url, target, sha256, name="RealWaste", counts=realwaste_files.COUNTS)


def _download(
    url: str, target: Path, sha256: str | None, *, name: str, counts: dict[str, int] | None = None
) -> Dataset:
    digest = None if sha256 is None else f"sha256:{sha256}"
    cached = fetch_cached(url, check=archive.check, digest=digest)
    try:
        folders, parts = _unzip(cached.path, target, counts)
    except ArchiveError:
        cached.discard()  # otherwise later runs would use it
        raise
    return _describe(name, urls.without_secrets(url), folders, cached.sha256, parts)


def _describe(
    name: str, source: str, folders: class_folders.ClassFolders, sha256: str | None, parts: Mapping[str, str]
) -> Dataset:
    return Dataset(name, "given", source, folders.image_count, len(folders.files), sha256, parts=parts)


def _fetch_local(path: Path, target: Path, sha256: str | None) -> Dataset:
    name = safe_file_name(path.resolve().name) or "images"
    if path.is_dir():
        folders = class_folders.find(path)
        return _describe(name, name, folders, None, _copy_images(folders, target))
    if path.is_file():
        digest = _check_digest(path, sha256)
        if path.suffix.lower() == label_table.SUFFIX:
            folders = label_table.find(path)
            return _describe(Path(name).stem, name, folders, digest, _copy_images(folders, target))
        folders, parts = _unzip(path, target)
        return _describe(Path(name).stem, name, folders, digest, parts)
    raise UserError(
        "fetch.source must be auto, realwaste, synthetic, an http(s) URL of a zip, or an existing folder, zip or CSV.",
        f"Check the path: from here it is {path.resolve()}. Queued and --temp experiments need an absolute one.",
        str(path),
    )


def _generate_synthetic(target: Path, images_per_class: int, seed: int) -> Dataset:
    images = synthetic.generate(target, images_per_class=images_per_class, seed=seed)
    return Dataset("synthetic", "synthetic", "synthetic", images, len(synthetic.CLASSES), None)


def _copy_images(folders: class_folders.ClassFolders, target: Path) -> dict[str, str]:
    with atomic_replace(target, is_stage_output) as temporary:
        return class_folders.lay_out(folders, temporary, shutil.copyfile)


def _unzip(
    path: Path, target: Path, counts: dict[str, int] | None = None
) -> tuple[class_folders.ClassFolders, dict[str, str]]:
    """Unpack the images of a zip to `target`; with `counts`, only if each class has exactly that number of images."""
    with atomic_replace(target, is_stage_output) as temporary:
        unpacked = temporary / ".unpacked"  # no class has a hidden name
        archive.extract(path, unpacked)
        folders = class_folders.find(unpacked, path)
        if counts:
            _check_counts(path, folders, counts)
        parts = class_folders.lay_out(folders, temporary, os.replace)
        shutil.rmtree(unpacked)
    logger.info("unpacked %d images of %d classes from %s", folders.image_count, len(folders.files), path.name)
    return folders, parts


def _check_counts(path: Path, folders: class_folders.ClassFolders, counts: dict[str, int]) -> None:
    counts_found = {label: len(files) for label, files in folders.files.items()}
    if counts_found != counts:
        raise UserError(
            f"RealWaste must have its published {sum(counts.values())} images in {len(counts)} classes.",
            f"Delete {path} and try again, or take the zip as it is with -S \"fetch.source='{path}'\"",
            counts_found,
        )


def _check_digest(path: Path, sha256: str | None) -> str:
    digest = pooch.file_hash(str(path))
    if sha256 is not None and digest != sha256.lower():
        raise UserError(f"{path} must have the sha256 of fetch.sha256.", "Correct the one or the other.", digest)
    return digest
