"""Backbone weights as files: fetched once, so that later stages need no network."""

import shutil
from dataclasses import asdict
from pathlib import Path

import h5py
import pooch

from realwaste.core.errors import UnreachableError, UserError, first_line
from realwaste.core.files import atomic_replace, is_stage_output, write_json
from realwaste.core.log import logger
from realwaste.models.applications import Application, application, is_file
from realwaste.models.weights_record import RECORD, WeightsRecord
from realwaste.sources.download_cache import fetch_cached
from realwaste.sources.stand_ins import StandIns


def fetch(backbone: str, weights: str, target: Path, *, seed: int, parameter: str, stand_ins: StandIns) -> WeightsRecord:
    """Leave the files of `backbone` in `target`, with their record.

    Args:
        backbone: a constructor of keras.applications, or the path of a `.keras` feature extractor.
        weights: `auto`, `imagenet`, `random`, or the path of a no-top weights file. `auto` means ImageNet, or random
            weights when there is no network; for a `.keras` extractor, what it holds.
        seed: of random weights.
        parameter: what the person calls `weights`.
        stand_ins: where random weights in place of ImageNet's are noted, with how to get the real ones.

    Raises:
        UserError: unknown backbone, missing file, wrong checksum, or no network where `imagenet` was asked for.
    """
    with atomic_replace(target, is_stage_output) as folder:
        folder.mkdir()
        try:
            record = _fetch_into(folder, backbone, weights, seed)
        except UnreachableError as error:
            if weights != "auto":
                raise
            stand_ins.add(f"random weights in {backbone} instead of ImageNet's", f"{parameter}=imagenet", error)
            record = WeightsRecord(backbone, "random", None, None, seed)
        write_json(folder / RECORD, asdict(record))
    return record


def _fetch_into(folder: Path, backbone: str, weights: str, seed: int) -> WeightsRecord:
    if is_file(backbone):
        if weights != "auto":
            raise UserError(f"{backbone} holds its own weights.", "Set its `weights` to auto.", weights)
        source = Path(backbone).expanduser()
        return _given(source.name, source, folder)
    table_row = application(backbone)
    if weights == "random":
        return WeightsRecord(backbone, "random", None, None, seed)
    if weights in ("imagenet", "auto"):
        return _imagenet(table_row, folder)
    return _given(backbone, Path(weights).expanduser(), folder)


def _imagenet(row: Application, folder: Path) -> WeightsRecord:
    if row.checksum is None:
        logger.warning("Keras publishes no hash of %s: its bytes cannot be checked against one", row.file_name)
    cached = fetch_cached(row.url, check=_check_hdf5, digest=row.checksum)
    shutil.copyfile(cached.path, folder / row.file_name)
    return WeightsRecord(row.name, "imagenet", row.file_name, cached.sha256, None)


def _check_hdf5(path: Path) -> None:
    """UserError unless the file is as long as it says: not every weights file has a published hash."""
    try:
        h5py.File(path).close()
    except OSError as error:
        rule, remedy = f"{path} must be a whole HDF5 file.", "Get it again: it was cut off or damaged on the way."
        raise UserError(rule, remedy, first_line(error)) from error


def _given(backbone: str, source: Path, folder: Path) -> WeightsRecord:
    if not source.is_file():
        raise UserError(
            "`backbone` and `weights` may name a file, which must exist.",
            f"Check the path; seen from here it would be {source.resolve()}. "
            "Queued and --temp experiments need an absolute one.",
            str(source),
        )
    shutil.copyfile(source, folder / source.name)
    return WeightsRecord(backbone, source.name, source.name, pooch.file_hash(str(folder / source.name)), None)
