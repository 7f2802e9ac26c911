"""Checks of the files of a run before it is compared; they may have more keys and columns than are checked."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from realwaste.evaluation.prediction_table import PROBABILITY_PREFIX

Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Model(_Part):
    backbone: str
    weights: str
    members: str = ""
    test_accuracy: Number
    test_accuracy_low: Number
    test_accuracy_high: Number
    macro_f1: Number | None = None
    test_loss: Number | None = None
    ece_calibrated: Number | None = None
    train_accuracy: Number | None = None
    training_seconds: Number | None = None
    latency_ms: Number | None = None
    file_mb: Number | None = None


class _Machine(_Part):
    processor: str
    cores: int | str
    gpu: str
    precision: str
    engine: str
    inference: str = ""


class _Scores(_Part):
    dataset: str | None = None
    origin: str | None = None
    machine: _Machine | None = None


class _Calibration(_Part):
    temperature: Annotated[Number, Field(gt=0)] = 1.0


class Split(_Part):
    """The numbers of images in metrics/split.json."""

    strategy: str | None = None
    train: int | None = None
    val: int | None = None
    test: int | None = None


def check_scores(values: Mapping[str, Any]) -> None:
    """Raise ValueError unless metrics/compare.json has the scores of a model."""
    _Scores.model_validate(values)
    rows = [row for row in values.values() if isinstance(row, Mapping) and "test_accuracy" in row]
    if not rows:
        raise ValueError("no model has a test_accuracy")
    for row in rows:
        _Model.model_validate(row)


def check_evaluated(values: Mapping[str, Any]) -> None:
    """Raise ValueError if a temperature in metrics/evaluate.json is invalid."""
    for facts in values.values():
        if isinstance(facts, Mapping):
            _Calibration.model_validate(facts)


def check_columns(table: pd.DataFrame, names: Sequence[str], *, numbers: Sequence[str] = ()) -> None:
    """Raise ValueError if a column is missing, one of `names` has empty cells, or one of `numbers` contains text."""
    if missing := [name for name in (*names, *numbers) if name not in table]:
        raise ValueError(f"no column {', '.join(missing)}")
    if empty := [name for name in names if table[name].isna().any()]:
        raise ValueError(f"empty cells in {', '.join(empty)}")
    if text := [name for name in numbers if len(table) and not pd.api.types.is_numeric_dtype(table[name])]:
        raise ValueError(f"text instead of numbers in {', '.join(text)}")


def check_predictions(table: pd.DataFrame) -> None:
    """Raise ValueError unless every model has one row of probabilities per image."""
    probabilities = [name for name in table if name.startswith(PROBABILITY_PREFIX)]
    check_columns(table, ["path", "label", "split", "group", "model", *probabilities], numbers=probabilities)
    if not (table["split"] == "test").any():
        raise ValueError("no test image")
    if len(probabilities) < 2:
        raise ValueError(f"fewer than two columns {PROBABILITY_PREFIX}<class>")
    if table.duplicated(["path", "model"]).any() or table.groupby("model").size().nunique() > 1:
        raise ValueError("not one row per image and model")


def check_manifest(table: pd.DataFrame) -> None:
    """Raise ValueError unless every image has one row."""
    check_columns(table, ["path", "sha256"])
    if table["path"].duplicated().any():
        raise ValueError("an image has two rows")
