"""Loads the results of a run: of an experiment, a git revision, or a folder with metrics/ and plots/.

The only module of the package that uses DVC, which reads experiments, revisions and its cache.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from realwaste.core.errors import UserError, first_line
from realwaste.core.files import read_csv
from realwaste.models import registry
from realwaste.report import run_schema
from realwaste.report.run_results import IMAGE_KEY, Run

SCORES, LOCK, PARAMETERS = "metrics/compare.json", "dvc.lock", "params.yaml"
PREDICTIONS, MANIFEST = "data/predictions.csv", "data/manifest.csv"
HISTORY, CONFUSION, CURVE = "plots/data/history_{}.csv", "plots/data/confusion.csv", "plots/data/learning_curve.csv"
CheckTable = Callable[[pd.DataFrame], None]
ReadFile = Callable[[str], bytes]
"""Returns the bytes of a file, by its path in the run; raises FileNotFoundError if the run does not have it."""


def find_run(name: str) -> Run:
    """Load a run by the name of a folder or, if there is no such folder, of an experiment or revision.

    Raises:
        UserError: there is no run of that name, or it has no scores.
    """
    folder = Path(name)
    if (folder / SCORES).is_file():
        return load_folder(folder, folder.resolve().name)
    return _load_run(name, _revision_reader(name))


def load_folder(folder: Path, name: str) -> Run:
    """Load the run in a folder; files that are missing in a checkout are read from DVC's cache.

    Raises:
        UserError: it has no scores.
    """

    def read(path: str) -> bytes:
        file = folder / path
        if file.exists() and not file.is_file():
            raise FileNotFoundError(f"{file} is a folder, a pipe or a device")
        if file.is_file() or not (folder / ".dvc").is_dir():
            return file.read_bytes()
        return _dvc_reader(str(folder.absolute()), None)(path)

    return _load_run(name, read)


def _revision_reader(name: str) -> ReadFile:
    try:
        read = _dvc_reader(None, name)
        with suppress(FileNotFoundError):
            read(SCORES)
        return read
    except _dvc_error() as error:
        rule = "--against must name an experiment, a git revision, or a folder with metrics/ and plots/."
        remedy = "`dvc exp list --all-commits` lists the experiments of this checkout."
        raise UserError(rule, remedy, f"{name}: {first_line(error)}") from None


def _dvc_reader(checkout: str | None, revision: str | None) -> ReadFile:
    """Read the files of a checkout through DVC: from git, the cache, or the remote."""
    from dvc.api import DVCFileSystem  # noqa: PLC0415 - 0.7 s, which other commands do not need

    files = DVCFileSystem(checkout, rev=revision)

    def read(path: str) -> bytes:
        return bytes(files.read_bytes(path))

    return read


def _dvc_error() -> type[Exception]:
    from dvc.exceptions import DvcException  # noqa: PLC0415 - slow to import

    return DvcException


def _load_run(name: str, read: ReadFile) -> Run:
    files = _RunFiles(name, read)
    compared = files.record(SCORES, run_schema.check_scores)
    if not compared:
        rule = f"A run must have a complete {SCORES}."
        raise UserError(rule, "Name a finished run: `dvc repro` or `dvc exp run` writes the file.", name)
    evaluated = files.record("metrics/evaluate.json", run_schema.check_evaluated)
    histories = {
        model: files.table(HISTORY.format(model), numbers=["epoch", "loss", "accuracy", "val_loss", "val_accuracy"])
        for model in registry.MODELS
        if model in compared
    }
    confusions = files.table(CONFUSION, ["model", "actual", "predicted", "images"], numbers=["images"])
    curve_numbers = ["percent", "images", "accuracy", "accuracy_low", "accuracy_high"]
    learning_curve = files.table(CURVE, ["model"], numbers=curve_numbers)
    no_rows = pd.DataFrame({"model": []})
    return Run(
        name,
        compared,
        {model: facts for model, facts in evaluated.items() if isinstance(facts, Mapping)},
        files.record("metrics/split.json", run_schema.Split.model_validate),
        {model: table for model, table in histories.items() if table is not None},
        no_rows if confusions is None else confusions,
        no_rows if learning_curve is None else learning_curve,
        files.parameters(),
        files.test_predictions(),
    )


@dataclass(frozen=True)
class _RunFiles:
    """Reads and checks the files of a run, which may come from anywhere and contain anything."""

    name: str
    read: ReadFile

    @contextmanager
    def _reported_as_damaged(self, path: str) -> Iterator[None]:
        """Raise UserError if the block finds that the pipeline cannot have written the file."""
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, _dvc_error()) as error:
            reason = first_line(error)
            if isinstance(error, ValidationError):
                first = error.errors(include_url=False, include_input=False)[0]
                reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            rule = f"A run must have a complete {path}, as the pipeline writes it."
            remedy = "Write it again with `dvc repro`, or name another run."
            raise UserError(rule, remedy, f"{self.name}: {reason}") from None

    def record(self, path: str, check: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
        """A JSON file, after `check`; empty if there is no such file."""
        try:
            data = self.read(path)
        except FileNotFoundError:
            return {}
        with self._reported_as_damaged(path):
            values = json.loads(data)
            if not isinstance(values, dict):
                raise TypeError("not a JSON object")
            check(values)
            return values

    def table(
        self, path: str, names: Sequence[str] = (), *, numbers: Sequence[str] = (), check: CheckTable | None = None
    ) -> pd.DataFrame | None:
        """A CSV file, after run_schema.check_columns and `check`; None if there is no such file."""
        try:
            data = self.read(path)
        except FileNotFoundError:
            return None
        with self._reported_as_damaged(path):
            table = read_csv(io.BytesIO(data))
            run_schema.check_columns(table, names, numbers=numbers)
            if check:
                check(table)
            return table

    def test_predictions(self) -> pd.DataFrame | None:
        """The predictions of the test images, with the hash of each file: another run may have other files there."""
        try:
            predicted = self.table(PREDICTIONS, check=run_schema.check_predictions)
            manifest = self.table(MANIFEST, check=run_schema.check_manifest)
        except (OSError, _dvc_error()):  # the remote cannot be reached
            return None
        if predicted is None or manifest is None:
            return None
        test = predicted[predicted["split"] == "test"].merge(manifest[["path", "sha256"]], on="path")
        if test.empty:
            return None
        return test.reset_index(drop=True)[[*IMAGE_KEY, *(column for column in test if column not in IMAGE_KEY)]]

    def parameters(self) -> dict[str, Any] | None:
        """The parameters in dvc.lock, with which the stages ran; without dvc.lock those in params.yaml."""
        from dvc.utils.serialize import parse_yaml  # noqa: PLC0415 - slow to import; reads 1e-5 as a number, which PyYAML does not

        for path in (LOCK, PARAMETERS):
            with suppress(FileNotFoundError), self._reported_as_damaged(path):
                values = parse_yaml(self.read(path).decode(), path)
                sections = [values]
                if path == LOCK:
                    sections = [stage.get("params", {}).get(PARAMETERS, {}) for stage in values["stages"].values()]
                return {key: value for section in sections for key, value in _flatten(section)}
        return None


def _flatten(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
