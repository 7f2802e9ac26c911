"""Fetches the images from RealWaste, a folder, zip, URL or table, or generates them (report, section 1.2)."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from realwaste.core.errors import UnreachableError, UserError
from realwaste.core.files import atomic_replace, is_stage_output
from realwaste.core.log import logger
from realwaste.sources import class_folders, labelled_images, realwaste_files, synthetic
from realwaste.sources.class_folders import ClassFolders
from realwaste.sources.download_cache import cached_file
from realwaste.sources.stand_ins import StandIns

REALWASTE_URL = "https://archive.ics.uci.edu/static/public/908/realwaste.zip"
Origin = Literal["realwaste", "realwaste-part", "synthetic", "given"]

_HINT = " Queued and --temp experiments need an absolute path. fetch.source may also be auto, realwaste or synthetic."


@dataclass(frozen=True)
class Dataset:
    """A record of the fetched images.

    Attributes:
        dataset: the name that is shown with all results.
        origin: "realwaste" for the published set and "realwaste-part" for a part of it, both recognized by their bytes;
            "synthetic" for generated images; "given" for everything else, whatever its name.
        source: where the images came from, safe to publish: a URL without secrets, or only the name of a path.
        sha256: of the zip or table; None for a folder and for generated images.
        published, differing: `state` and `differing` of a realwaste_files.Comparison.
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
    source: str, target: Path, *, sha256: str | None, seed: int, images_per_class: int, stand_ins: StandIns
) -> Dataset:
    """Write the images of `source` to target/<Class>/<file>, all of them or none.

    If `source` is `auto` and no server answers, images are generated instead, and `stand_ins` records that.

    Raises:
        UserError: the source does not exist, is incomplete, or has no class folders.
    """
    if source not in {"auto", "realwaste", "synthetic"}:
        return _copy_images(source, target, sha256)
    if source != "synthetic":
        try:
            return _copy_images(REALWASTE_URL, target, sha256, name="RealWaste")
        except UnreachableError as error:
            if source == "realwaste":
                raise
            stand_ins.add("generated pictures instead of RealWaste's photographs", "fetch.source=realwaste", error)
    images = synthetic.generate(target, images_per_class=images_per_class, seed=seed)
    return Dataset("synthetic", "synthetic", "synthetic", images, len(synthetic.CLASSES), None)


def _copy_images(source: str, target: Path, sha256: str | None, name: str | None = None) -> Dataset:
    """Copy the images and compare them with RealWaste's. With a `name`, their numbers must be the published ones."""
    with atomic_replace(target, is_stage_output) as temporary:
        unpacked = temporary / ".unpacked"  # no class has a hidden name
        images = labelled_images.find_images(source, unpacked, sha256=sha256, hint=_HINT)
        if name:
            _check_counts(source, images.folders)
        parts = class_folders.lay_out(images.folders, temporary, os.replace if unpacked.exists() else shutil.copyfile)
        shutil.rmtree(unpacked, ignore_errors=True)
    comparison = realwaste_files.compare(target)
    if comparison.differing:
        warning = "%d of RealWaste's published files were fetched, but these classes have other files too: %s"
        logger.warning(warning, comparison.files, ", ".join(comparison.differing))
    origins: dict[str, Origin] = {realwaste_files.COMPLETE: "realwaste", realwaste_files.OTHER: "given"}
    return Dataset(
        name or images.name,
        origins.get(comparison.state, "realwaste-part"),
        images.source,
        images.folders.image_count,
        len(images.folders.files),
        images.sha256,
        comparison.state,
        ", ".join(comparison.differing),
        parts,
    )


def _check_counts(source: str, folders: ClassFolders) -> None:
    counts, counts_found = realwaste_files.COUNTS, {label: len(files) for label, files in folders.files.items()}
    if counts_found != counts:
        rule = f"RealWaste must have its published {sum(counts.values())} images in {len(counts)} classes."
        remedy = f"Delete {cached_file(source)} and try again, or take the zip as it is: -S \"fetch.source='{source}'\""
        raise UserError(rule, remedy, counts_found)
