"""The results of a run, paired tests of two runs, and the parameters in which they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from realwaste.evaluation import differences, prediction_table
from realwaste.report import comparison

Row = Mapping[str, Any]
IMAGE_KEY = ["path", "sha256", "label"]  # identifies the same image in two runs


@dataclass(frozen=True)
class Run:
    """The results of a run of the pipeline; all but the scores may be empty.

    Attributes:
        compared, evaluated, split: metrics/compare.json, evaluate.json and split.json.
        histories: the training history of each model that has one.
        confusions, learning_curve: the tables of prediction_table.count_confusions and learning_curve.curve_table.
        parameters: by dotted names; None if unknown.
        test_predictions: rows of the predictions table for the test images, with each file's sha256; None if missing.
    """

    name: str
    compared: Mapping[str, Any]
    evaluated: Mapping[str, Any]
    split: Mapping[str, Any]
    histories: Mapping[str, pd.DataFrame]
    confusions: pd.DataFrame
    learning_curve: pd.DataFrame
    parameters: dict[str, Any] | None
    test_predictions: pd.DataFrame | None

    @property
    def rows(self) -> dict[str, Row]:
        """The metrics of each model and of the soft vote."""
        records = self.compared.items()
        return {model: row for model, row in records if isinstance(row, Mapping) and "test_accuracy" in row}


@dataclass(frozen=True)
class PairedComparison:
    """Paired tests on the test images of both runs.

    Attributes:
        images: the number of common test images; 0 if no paired test is possible.
        reason: why no paired test is possible, else empty.
        models: differences.compare_accuracies (first run minus second) for each model of both runs, without `same`.
        same: the models of both runs with equal probabilities for each of these images.
    """

    images: int
    reason: str
    models: Mapping[str, Row]
    same: frozenset[str] = frozenset()


def compare_paired(first: Run, second: Run) -> PairedComparison:
    """Tests each model of the first run against the same model of the second, on the common test images."""
    datasets = [run.compared.get("dataset") for run in (first, second)]
    if datasets[0] != datasets[1]:
        return PairedComparison(0, f"the runs are of different data, {datasets[0]} and {datasets[1]}", {})
    missing = [run.name for run in (first, second) if run.test_predictions is None]
    if first.test_predictions is None or second.test_predictions is None:
        return PairedComparison(0, f"data/predictions.csv of {' and of '.join(missing)} is missing", {})
    predictions = [_with_votes(first, first.test_predictions), _with_votes(second, second.test_predictions)]
    first_table, second_table = (_correctness_table(table) for table in predictions)
    shared = first_table.index.intersection(second_table.index)
    if shared.empty:
        return PairedComparison(0, "the two runs have no test image in common", {})
    groups = first.test_predictions.drop_duplicates(IMAGE_KEY).set_index(IMAGE_KEY)["group"].loc[shared].to_numpy()
    in_both_runs = first.rows.keys() & second.rows.keys() & set(second_table)
    models = [model for model in first_table if model in in_both_runs]
    same = frozenset(model for model in models if _has_same_probabilities(predictions, model, shared))
    correct_by_model = {
        model: (first_table.loc[shared, model].to_numpy(bool), second_table.loc[shared, model].to_numpy(bool))
        for model in models
        if model not in same
    }
    return PairedComparison(len(shared), "", differences.compare_accuracies(correct_by_model, groups), same)


def changed_parameters(first: Run, second: Run) -> list[tuple[str, str, str]] | None:
    """The parameters that differ, with both values; None if a run's parameters are unknown."""
    if first.parameters is None or second.parameters is None:
        return None
    changed = []
    for name in first.parameters | second.parameters:
        values = [parameters.get(name, "–") for parameters in (first.parameters, second.parameters)]
        before, after = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
        if before != after:
            changed.append((name, before, after))
    return changed


def _with_votes(run: Run, predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with those of the soft vote, if the run has the temperatures of its members."""
    temperatures = {model: facts["temperature"] for model, facts in run.evaluated.items() if "temperature" in facts}
    every_model = ", ".join(predictions["model"].unique())  # the members in files of earlier versions
    members = run.rows.get(comparison.ENSEMBLE, {}).get("members", every_model).split(", ")
    if set(members) <= set(temperatures):
        calibrated = prediction_table.calibrate(predictions, {model: temperatures[model] for model in members})
        votes = comparison.ensemble_predictions(calibrated)
        return pd.concat([predictions, votes], ignore_index=True)
    return predictions


def _has_same_probabilities(predictions: Sequence[pd.DataFrame], model: str, images: pd.MultiIndex) -> bool:
    first, second = (
        table[table["model"] == model].set_index(IMAGE_KEY).filter(like=prediction_table.PROBABILITY_PREFIX).loc[images]
        for table in predictions
    )
    return bool(first.equals(second))


def _correctness_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Whether each model and the soft vote is correct: a row for each test image, a column for each model."""
    table = predictions.assign(correct=predictions["label"] == prediction_table.predicted_classes(predictions))
    return table.pivot(index=IMAGE_KEY, columns="model", values="correct")[predictions["model"].unique()]
