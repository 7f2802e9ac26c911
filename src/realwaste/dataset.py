"""Where the images come from: RealWaste, a folder, a zip, a URL, or the synthetic set (report, section 1.2)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from realwaste import class_folders, synthetic
from realwaste.archive import extract
from realwaste.cache import CachedFile, fetch_cached
from realwaste.checksum import checksum
from realwaste.errors import UnreachableError, UserError
from realwaste.log import banner, logger

REALWASTE_URL = "https://archive.ics.uci.edu/static/public/908/realwaste.zip"
REALWASTE_COUNTS = {
    "Cardboard": 461,
    "Food Organics": 411,
    "Glass": 420,
    "Metal": 790,
    "Miscellaneous Trash": 495,
    "Paper": 500,
    "Plastic": 921,
    "Textile Trash": 318,
    "Vegetation": 436,
}
REALWASTE = "RealWaste"
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Dataset:
    """What was fetched. `dataset` names it wherever a number or a picture of it is shown."""

    dataset: str
    source: str
    images: int
    classes: int
    sha256: str | None  # of the zip it came in


def fetch(
    source: str,
    target: Path,
    *,
    sha256: str | None,
    seed: int,
    images_per_class: int,
    realwaste_url: str = REALWASTE_URL,
) -> Dataset:
    """Leave the images of `source` as target/<Class>/<file>; whole, or not at all.

    Raises:
        UserError: the source is not there, not whole, or not a folder-per-class set. Only the absence of a network,
            and only for `auto`, gives the synthetic set instead.
    """
    if source == "synthetic":
        return _synthetic(target, images_per_class, seed)
    if source == "realwaste":
        return _realwaste(realwaste_url, target, sha256)
    if source == "auto":
        try:
            return _realwaste(realwaste_url, target, sha256)
        except UnreachableError as error:
            banner(
                "SYNTHETIC IMAGES, NOT PHOTOGRAPHS",
                "RealWaste could not be downloaded, so the pipeline goes on with generated pictures.",
                f"Why: {error.rule}",
                "Scores on them say nothing about waste. For the real thing, with a network:",
                "    dvc exp run -S fetch.source=realwaste",
            )
            return _synthetic(target, images_per_class, seed)
    return _url(source, target, sha256) if "://" in source else _local(Path(source), target, sha256)


def _url(url: str, target: Path, sha256: str | None) -> Dataset:
    cached = fetch_cached(url, digest=_digest(sha256))
    name = Path(urlsplit(url).path).stem or urlsplit(url).netloc
    return _unzipped(cached, target, name=name, source=url)


def _local(path: Path, target: Path, sha256: str | None) -> Dataset:
    if path.is_dir():
        folders = class_folders.find(path)
        class_folders.copy(folders, target)
        return Dataset(path.resolve().name, str(path), folders.images, len(folders.files), None)
    if path.is_file():
        return _unzipped(CachedFile(path, _checked(path, sha256)), target, name=path.stem, source=str(path))
    raise UserError(
        "fetch.source must be auto, realwaste, synthetic, an http(s) URL of a zip, or an existing folder or zip.",
        f"Check the path: from here it is {path.resolve()}. Queued and --temp experiments need an absolute one.",
        str(path),
    )


def _synthetic(target: Path, images_per_class: int, seed: int) -> Dataset:
    images = synthetic.generate(target, images_per_class=images_per_class, seed=seed)
    return Dataset(SYNTHETIC, "synthetic", images, len(synthetic.CLASSES), None)


def _realwaste(url: str, target: Path, sha256: str | None) -> Dataset:
    cached = fetch_cached(url, digest=_digest(sha256))
    return _unzipped(cached, target, name=REALWASTE, source=url, counts=REALWASTE_COUNTS)


def _unzipped(
    archive: CachedFile, target: Path, *, name: str, source: str, counts: dict[str, int] | None = None
) -> Dataset:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as temporary:
        extract(archive.path, Path(temporary) / name)
        folders = class_folders.find(Path(temporary) / name)
        found = {label: len(files) for label, files in folders.files.items()}
        if counts is not None and found != counts:
            # The report's figures are set beside results on this data set, so it must be the published one.
            raise UserError(
                f"RealWaste must have its published {sum(counts.values())} images in {len(counts)} classes.",
                f"Delete {archive.path} and try again, or take the zip as it is with -S fetch.source={source}",
                found,
            )
        class_folders.copy(folders, target)
    logger.info("unpacked %d images of %d classes from %s", folders.images, len(folders.files), archive.path.name)
    return Dataset(name, source, folders.images, len(folders.files), archive.sha256)


def _digest(sha256: str | None) -> str | None:
    return None if sha256 is None else f"sha256:{sha256.lower()}"


def _checked(path: Path, sha256: str | None) -> str:
    found = checksum(path)
    if sha256 is not None and found != sha256.lower():
        raise UserError(f"{path} must have the sha256 of fetch.sha256.", "Correct the one or the other.", found)
    return found
