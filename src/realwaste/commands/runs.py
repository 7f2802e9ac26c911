"""A run of the pipeline, found by its name: an experiment, a git revision, or a folder with metrics/ and plots/.

The one place of the package that knows DVC, which reads experiments, revisions and its cache.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.classifier import registry
from realwaste.core.errors import UserError, first_line
from realwaste.report.run import IMAGE, Run

SCORES, LOCK, PARAMETERS = "metrics/compare.json", "dvc.lock", "params.yaml"
PREDICTIONS, MANIFEST = "data/predictions.csv", "data/manifest.csv"
Read = Callable[[str], bytes]  # of a file, by its path in the run; FileNotFoundError where there is none


def find(name: str) -> Run:
    """The run of that name; a folder goes before an experiment or revision of the same name.

    Raises:
        UserError: there is none, or it has no scores.
    """
    folder = Path(name)
    if (folder / SCORES).is_file():
        return of_folder(folder, folder.resolve().name)
    return _run(name, _at_revision(name))


def of_folder(folder: Path, name: str) -> Run:
    """The run whose results lie in a folder; of a checkout, with what lies in DVC's cache alone.

    Raises:
        UserError: it has no scores.
    """

    def read(path: str) -> bytes:
        file = folder / path
        if file.is_file() or not (folder / ".dvc").is_dir():
            return file.read_bytes()
        return _dvc(str(folder.absolute()), None)(path)

    return _run(name, read)


def _at_revision(name: str) -> Read:
    try:
        read = _dvc(None, name)
        with suppress(FileNotFoundError):
            read(SCORES)
        return read
    except _dvc_error() as error:
        rule = "--against must name an experiment, a git revision, or a folder with metrics/ and plots/."
        remedy = "`dvc exp list --all-commits` has the experiments of this checkout."
        raise UserError(rule, remedy, f"{name}: {first_line(error)}") from None


def _dvc(checkout: str | None, revision: str | None) -> Read:
    """Files of a checkout as DVC has them: from git, from its cache, or from its remote."""
    from dvc.api import DVCFileSystem  # noqa: PLC0415 - 0.7 s, which other commands need not wait for

    files = DVCFileSystem(checkout, rev=revision)

    def read(path: str) -> bytes:
        return bytes(files.read_bytes(path))

    return read


def _dvc_error() -> type[Exception]:
    from dvc.exceptions import DvcException  # noqa: PLC0415 - as above

    return DvcException


def _run(name: str, read: Read) -> Run:
    try:
        compared = json.loads(read(SCORES))
    except (FileNotFoundError, ValueError):
        rule = f"A run must have {SCORES}, whole."
        raise UserError(rule, "Name one that has ended: `dvc repro` or `dvc exp run` writes it.", name) from None
    histories = {model: _table(read, f"plots/data/history_{model}.csv") for model in registry.MODELS}
    return Run(
        name,
        compared,
        _record(read, "metrics/evaluate.json"),
        _record(read, "metrics/split.json"),
        # Of a model that is off one empty row is there.
        {model: table for model, table in histories.items() if table is not None and model in compared},
        _or_empty(_table(read, "plots/data/confusion.csv")),
        _or_empty(_table(read, "plots/data/learning_curve.csv")),
        _parameters(read),
        _tested(read),
    )


def _record(read: Read, path: str) -> dict[str, Any]:
    """A record; empty where there is no such file."""
    try:
        return dict(json.loads(read(path)))
    except FileNotFoundError:
        return {}


def _table(read: Read, path: str) -> pd.DataFrame | None:
    try:
        return pd.read_csv(io.BytesIO(read(path)), keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        return None


def _or_empty(table: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame({"model": []}) if table is None else table


def _tested(read: Read) -> pd.DataFrame | None:
    """The predictions of the test images, each with its file's hash: names alone may be those of other images."""
    try:
        predicted, manifest = _table(read, PREDICTIONS), _table(read, MANIFEST)
    except (OSError, _dvc_error()):  # a remote that does not answer
        return None
    if predicted is None or manifest is None:
        return None
    told = predicted[predicted["split"] == "test"].merge(manifest[["path", "sha256"]], on="path")
    return told.reset_index(drop=True)[[*IMAGE, *(column for column in told if column not in IMAGE)]]


def _parameters(read: Read) -> dict[str, Any] | None:
    """Those that the stages ran with, by dvc.lock; without one, what params.yaml asks for."""
    from dvc.utils.serialize import parse_yaml  # noqa: PLC0415 - as above; reads 1e-5 as a number, which PyYAML does not

    try:
        locked = parse_yaml(read(LOCK).decode(), LOCK)["stages"].values()
        sections = [stage.get("params", {}).get(PARAMETERS, {}) for stage in locked]
    except FileNotFoundError:
        try:
            sections = [parse_yaml(read(PARAMETERS).decode(), PARAMETERS)]
        except FileNotFoundError:
            return None
    return {key: value for section in sections for key, value in _flat(section)}


def _flat(section: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{inside}{key}.")
        else:
            yield f"{inside}{key}", value
