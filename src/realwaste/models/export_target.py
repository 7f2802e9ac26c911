"""The path of an export, and what it may replace there; without importing TensorFlow."""

import json
import zipfile
from pathlib import Path
from typing import Literal

from realwaste.core.errors import UserError
from realwaste.models import registry

Format = Literal["onnx", "litert", "saved_model"]

RECORD = "realwaste.json"
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "litert": ".tflite", "saved_model": "_saved_model"}
_FOLDERS = {"variables", "assets"}  # of a SavedModel
_FILES = ("saved_model.pb", "fingerprint.pb", RECORD, "variables/variables.index", "variables/variables.data-*")
_KEYS = {"classes", "image_size", "temperature", "input"}  # of every record


def default_target(name: str, format: Format) -> Path:  # noqa: A002 - as in keras.Model.export
    """Beside the model file: models/cnn.onnx, models/cnn.tflite, models/cnn_saved_model."""
    return registry.FOLDER / f"{name}{SUFFIXES[format]}"


def check(format: Format, target: Path) -> None:  # noqa: A002 - as above
    """Check that an export may be written to `target`. Call it before the model is loaded.

    Raises:
        UserError: it has another format's suffix, or exists and is not an earlier export.
    """
    if format == "saved_model":
        is_working_folder = Path.cwd().is_relative_to(target.resolve())
        if is_working_folder or (target.exists() and not is_saved_model(target.resolve())):
            rule = "A SavedModel must go to a new folder, or replace an earlier export in a folder without other files."
            raise UserError(rule, "Name another folder.", str(target))
    elif target.suffix != SUFFIXES[format] or (target.exists() and not may_replace(format, target)):
        rule = f"An export must be a file that ends in {SUFFIXES[format]}: a new one, or an earlier export."
        raise UserError(rule, "Name such a file.", str(target))


def may_replace(format: Format, target: Path) -> bool:  # noqa: A002 - as above
    """Whether `target` is an earlier export, which realwaste.core.files.atomic_replace may then replace."""
    if format == "saved_model":
        return is_saved_model(target)
    return target.is_file() and (_is_onnx(target) if format == "onnx" else _is_litert(target))


def is_saved_model(folder: Path) -> bool:
    """Whether a folder is empty or holds only an earlier export: a person's file is never deleted."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    entries = list(folder.rglob("*"))
    only_export = all(
        str(entry.relative_to(folder)) in _FOLDERS
        if entry.is_dir()
        else any(entry.relative_to(folder).match(pattern) for pattern in _FILES)
        for entry in entries
    )
    return not entries or (only_export and _is_record(folder / RECORD))


def _is_record(file: Path) -> bool:
    try:
        return json.loads(file.read_text(encoding="utf-8")).keys() >= _KEYS
    except (OSError, ValueError, AttributeError):
        return False


def _is_onnx(file: Path) -> bool:
    try:
        import onnx  # noqa: PLC0415 - optional

        return {entry.key for entry in onnx.load(str(file), load_external_data=False).metadata_props} >= _KEYS
    except Exception:  # not ONNX, whatever its parser raises; or the package is missing, which is reported later
        return False


def _is_litert(file: Path) -> bool:
    """Whether the archive that an export appends to the network is there."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist() == [RECORD]
    except (OSError, zipfile.BadZipFile):
        return False
