"""Where an export goes: its name, and what it may replace there, known without TensorFlow."""

import json
import zipfile
from pathlib import Path
from typing import Literal

from realwaste.models import registry
from realwaste.core.errors import UserError

Format = Literal["onnx", "litert", "saved_model"]

RECORD = "realwaste.json"
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "litert": ".tflite", "saved_model": "_saved_model"}
_FOLDERS = {"variables", "assets"}  # of a SavedModel
_FILES = ("saved_model.pb", "fingerprint.pb", RECORD, "variables/variables.index", "variables/variables.data-*")
_KEYS = {"classes", "image_size", "temperature", "input"}  # of every record


def default_target(name: str, format: Format) -> Path:  # noqa: A002 - keras.Model.export calls it so
    """Beside the model itself: models/cnn.onnx, models/cnn.tflite, models/cnn_saved_model."""
    return registry.FOLDER / f"{name}{SUFFIXES[format]}"


def check(format: Format, target: Path) -> None:  # noqa: A002 - as above
    """Say why an export cannot go to `target`, before the model is loaded.

    Raises:
        UserError: it has another format's suffix, or is something else than an earlier export.
    """
    if format == "saved_model":
        here = Path.cwd()
        if target.resolve() in (here, *here.parents) or (target.exists() and not is_saved_model(target.resolve())):
            rule = "A SavedModel must go to a new folder or take the place of an earlier export, without other files."
            raise UserError(rule, "Name another folder.", str(target))
    elif target.suffix != SUFFIXES[format] or (target.exists() and not may_replace(format, target)):
        rule = f"An export must be a file that ends in {SUFFIXES[format]}: a new one, or an earlier export."
        raise UserError(rule, "Name such a file.", str(target))


def may_replace(format: Format, target: Path) -> bool:  # noqa: A002 - as above
    """Whether an earlier export stands at `target`, as of realwaste.core.files.replacing."""
    if format == "saved_model":
        return is_saved_model(target)
    return target.is_file() and (_is_onnx(target) if format == "onnx" else _is_litert(target))


def is_saved_model(folder: Path) -> bool:
    """Whether a folder is empty, or an earlier export with nothing beside it: a person's file is never deleted."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    entries = list(folder.rglob("*"))
    known = all(
        str(one.relative_to(folder)) in _FOLDERS
        if one.is_dir()
        else any(one.relative_to(folder).match(name) for name in _FILES)
        for one in entries
    )
    return not entries or (known and _is_record(folder / RECORD))


def _is_record(file: Path) -> bool:
    try:
        return json.loads(file.read_text(encoding="utf-8")).keys() >= _KEYS
    except (OSError, ValueError, AttributeError):
        return False


def _is_onnx(file: Path) -> bool:
    try:
        import onnx  # noqa: PLC0415 - optional

        return {one.key for one in onnx.load(str(file), load_external_data=False).metadata_props} >= _KEYS
    except Exception:  # no ONNX, whatever its parser raises; or the package is missing, which is said later
        return False


def _is_litert(file: Path) -> bool:
    """By the archive that an export has behind the network."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist() == [RECORD]
    except (OSError, zipfile.BadZipFile):
        return False
