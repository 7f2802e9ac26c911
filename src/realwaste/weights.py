"""Backbone weights as files: fetched once, known by hash, so that later stages need no network."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from realwaste.applications import Application, application, is_file
from realwaste.atomic import replacing, write_json
from realwaste.cache import fetch_cached
from realwaste.checksum import checksum
from realwaste.errors import UnreachableError, UserError
from realwaste.log import banner, logger
from realwaste.records import read_json

RECORD = "weights.json"


@dataclass(frozen=True)
class Weights:
    """What stands in a weights folder, beside this record.

    Attributes:
        backbone: a constructor of keras.applications, or the file name of a `.keras` feature extractor.
        weights: `imagenet`, `random`, or the name of the file that was given.
        file: the file in the folder; None for random weights.
        sha256: of that file.
        seed: of random weights, else None: a new seed leaves trained weights, and what is cached of them, alone.
    """

    backbone: str
    weights: str
    file: str | None
    sha256: str | None
    seed: int | None

    def constructor_or_file(self, folder: Path) -> str:
        """What backbone.build takes as its backbone."""
        return str(folder / self.backbone) if is_file(self.backbone) else self.backbone

    def weights_file(self, folder: Path) -> Path | None:
        """What backbone.build takes as its weights: none where they are random or inside the extractor."""
        return None if self.file is None or is_file(self.backbone) else folder / self.file


def fetch(backbone: str, weights: str, target: Path, *, seed: int, parameter: str = "weights") -> Weights:
    """Leave the files of `backbone` in `target`, with their record.

    Args:
        backbone: a constructor of keras.applications, or the path of a `.keras` feature extractor.
        weights: `auto`, `imagenet`, `random`, or the path of a no-top weights file. `auto` means ImageNet, or random
            weights when there is no network; for a `.keras` extractor, what it holds.
        seed: of random weights.
        parameter: what the person calls `weights`, for the banner that says how to get the real ones.

    Raises:
        UserError: unknown backbone, missing file, wrong checksum, or no network where `imagenet` was asked for.
    """
    with replacing(target) as folder:
        folder.mkdir()
        record = _fetch_into(folder, backbone, weights, seed, parameter)
        write_json(folder / RECORD, asdict(record))
    return record


def read(folder: Path) -> Weights:
    return Weights(**read_json(folder / RECORD))


def _fetch_into(folder: Path, backbone: str, weights: str, seed: int, parameter: str) -> Weights:
    if is_file(backbone):
        if weights != "auto":
            raise UserError(f"{backbone} holds its own weights.", "Set its `weights` to auto.", weights)
        source = Path(backbone)
        return _given(source.name, source, folder)
    table_row = application(backbone)
    if weights == "random":
        return Weights(backbone, "random", None, None, seed)
    if weights == "imagenet":
        return _imagenet(table_row, folder)
    if weights == "auto":
        try:
            return _imagenet(table_row, folder)
        except UnreachableError as error:
            banner(
                f"RANDOM WEIGHTS IN {backbone}",
                "Its ImageNet weights could not be downloaded: the backbone starts from random numbers, and its scores",
                f"say nothing about what it can do. Why: {error.rule}",
                f"For the real thing, with a network:  dvc exp run -S {parameter}=imagenet",
            )
            return Weights(backbone, "random", None, None, seed)
    return _given(backbone, Path(weights), folder)


def _imagenet(row: Application, folder: Path) -> Weights:
    if row.checksum is None:
        logger.warning("Keras publishes no hash of %s: its bytes cannot be checked against one", row.file_name)
    cached = fetch_cached(row.url, digest=row.checksum)
    shutil.copyfile(cached.path, folder / row.file_name)
    return Weights(row.name, "imagenet", row.file_name, cached.sha256, None)


def _given(backbone: str, source: Path, folder: Path) -> Weights:
    if not source.is_file():
        raise UserError(
            "`backbone` and `weights` may name a file, which must exist.",
            f"Check the path; seen from here it would be {source.resolve()}. "
            "Queued and --temp experiments need an absolute one.",
            str(source),
        )
    shutil.copyfile(source, folder / source.name)
    return Weights(backbone, source.name, source.name, checksum(folder / source.name), None)
