"""A run of the pipeline, found by its name: an experiment, a git revision, or a folder with metrics/ and plots/.

The one place of the package that knows DVC, which reads experiments, revisions and its cache.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from realwaste.cli import run_schema
from realwaste.core.errors import UserError, first_line
from realwaste.core.files import read_csv
from realwaste.models import registry
from realwaste.report.run_results import IMAGE_KEY, Run

SCORES, LOCK, PARAMETERS = "metrics/compare.json", "dvc.lock", "params.yaml"
PREDICTIONS, MANIFEST = "data/predictions.csv", "data/manifest.csv"
HISTORY, CONFUSION, CURVE = "plots/data/history_{}.csv", "plots/data/confusion.csv", "plots/data/learning_curve.csv"
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
        if file.exists() and not file.is_file():
            raise FileNotFoundError(f"{file} is a folder, a pipe or a device")
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
    compared = _record(name, read, SCORES, run_schema.check_scores)
    if not compared:
        rule = f"A run must have {SCORES}, whole."
        raise UserError(rule, "Name one that has ended: `dvc repro` or `dvc exp run` writes it.", name)
    # Of a model that is off one empty row is there.
    histories = {model: _history(name, read, HISTORY.format(model)) for model in registry.MODELS if model in compared}
    return Run(
        name,
        compared,
        {
            model: facts
            for model, facts in _record(name, read, "metrics/evaluate.json", run_schema.check_evaluated).items()
            if isinstance(facts, Mapping)
        },
        _record(name, read, "metrics/split.json", run_schema.check_split),
        {model: table for model, table in histories.items() if table is not None},
        _confusions(name, read),
        _learning_curve(name, read),
        _parameters(name, read),
        _tested(name, read),
    )


@contextmanager
def _sound(name: str, path: str) -> Iterator[None]:
    """A run may come from anywhere: UserError where the block finds a file that the pipeline cannot have written."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, _dvc_error()) as error:
        reason = first_line(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        rule = f"A run must have {path}, whole, as the pipeline writes it."
        raise UserError(rule, "Write it again with `dvc repro`, or name another run.", f"{name}: {reason}") from None


def _record(name: str, read: Read, path: str, check: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """A record; empty where there is no such file."""
    try:
        data = read(path)
    except FileNotFoundError:
        return {}
    with _sound(name, path):
        values = json.loads(data)
        if not isinstance(values, dict):
            raise TypeError("no JSON object")
        check(values)
        return values


def _table(name: str, read: Read, path: str, check: Callable[[pd.DataFrame], None]) -> pd.DataFrame | None:
    try:
        data = read(path)
    except FileNotFoundError:
        return None
    with _sound(name, path):
        table = read_csv(io.BytesIO(data))
        check(table)
        return table


def _history(name: str, read: Read, path: str) -> pd.DataFrame | None:
    measures = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    return _table(name, read, path, lambda table: run_schema.check_columns(table, [], numbers=measures))


def _confusions(name: str, read: Read) -> pd.DataFrame:
    columns = ["model", "actual", "predicted", "images"]
    table = _table(name, read, CONFUSION, lambda table: run_schema.check_columns(table, columns, numbers=["images"]))
    return pd.DataFrame({"model": []}) if table is None else table


def _learning_curve(name: str, read: Read) -> pd.DataFrame:
    numbers = ["percent", "images", "accuracy", "accuracy_low", "accuracy_high"]
    table = _table(name, read, CURVE, lambda table: run_schema.check_columns(table, ["model"], numbers=numbers))
    return pd.DataFrame({"model": []}) if table is None else table


def _tested(name: str, read: Read) -> pd.DataFrame | None:
    """The predictions of the test images, each with its file's hash: names alone may be those of other images."""
    try:
        predicted = _table(name, read, PREDICTIONS, run_schema.check_predictions)
        manifest = _table(name, read, MANIFEST, run_schema.check_manifest)
    except (OSError, _dvc_error()):  # a remote that does not answer
        return None
    if predicted is None or manifest is None:
        return None
    told = predicted[predicted["split"] == "test"].merge(manifest[["path", "sha256"]], on="path")
    if told.empty:
        return None
    return told.reset_index(drop=True)[[*IMAGE_KEY, *(column for column in told if column not in IMAGE_KEY)]]


def _parameters(name: str, read: Read) -> dict[str, Any] | None:
    """Those that the stages ran with, by dvc.lock; without one, what params.yaml asks for."""
    from dvc.utils.serialize import parse_yaml  # noqa: PLC0415 - as above; reads 1e-5 as a number, which PyYAML does not

    for path in (LOCK, PARAMETERS):
        with suppress(FileNotFoundError), _sound(name, path):
            values = parse_yaml(read(path).decode(), path)
            stages = values["stages"].values() if path == LOCK else ()
            sections = [stage.get("params", {}).get(PARAMETERS, {}) for stage in stages] if path == LOCK else [values]
            return {key: value for section in sections for key, value in _flat(section)}
    return None


def _flat(section: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{inside}{key}.")
        else:
            yield f"{inside}{key}", value
