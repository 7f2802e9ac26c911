"""What a run left, and what can be told of two of them: by exact tests, and by their parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from realwaste.evaluation import differences, prediction_table
from realwaste.report import comparison

Row = Mapping[str, Any]
IMAGE_KEY = ["path", "sha256", "label"]  # what makes an image of two runs the same one


@dataclass(frozen=True)
class Run:
    """What a run left.

    Attributes:
        name: as the page calls it.
        compared, evaluated, split: metrics/compare.json, evaluate.json and split.json; the last two may be empty.
        histories: a training history a model, as far as they are there.
        confusions: model, actual, predicted, images; may be empty.
        learning_curve: the table of realwaste.evaluation.learning_curve; may be empty.
        parameters: by their dotted names; None where they are not known.
        tested: the predictions of the test images, with the file's sha256; None where they are not at hand.
    """

    name: str
    compared: Mapping[str, Any]
    evaluated: Mapping[str, Any]
    split: Mapping[str, Any]
    histories: Mapping[str, pd.DataFrame]
    confusions: pd.DataFrame
    learning_curve: pd.DataFrame
    parameters: Mapping[str, Any] | None
    tested: pd.DataFrame | None

    @property
    def rows(self) -> dict[str, Row]:
        """The figures of each model and of the soft vote."""
        facts = self.compared.items()
        return {model: row for model, row in facts if isinstance(row, Mapping) and "test_accuracy" in row}


@dataclass(frozen=True)
class PairedComparison:
    """The test images that both runs have.

    Attributes:
        images: how many; 0 where nothing could be tested in pairs.
        why_not: the reason then, else empty.
        models: differences.compare_accuracies, first run less second, a model of both.
    """

    images: int
    why_not: str
    models: Mapping[str, Row]


def compare_paired(first: Run, second: Run) -> PairedComparison:
    """Exact tests of each model against itself in the other run, on the images that are test images of both."""
    missing = [run.name for run in (first, second) if run.tested is None]
    if first.tested is None or second.tested is None:
        return PairedComparison(0, f"data/predictions.csv of {' and of '.join(missing)} is not at hand", {})
    right = [_right(run, table) for run, table in ((first, first.tested), (second, second.tested))]
    shared = right[0].index.intersection(right[1].index)
    if shared.empty:
        return PairedComparison(0, "the two runs have no test image in common", {})
    groups = first.tested.drop_duplicates(IMAGE_KEY).set_index(IMAGE_KEY)["group"].loc[shared].to_numpy()
    ours, theirs = (answers.loc[shared] for answers in right)
    both = [model for model in ours.columns if all(model in told for told in (theirs, first.rows, second.rows))]
    answers = {model: (ours[model].to_numpy(bool), theirs[model].to_numpy(bool)) for model in both}
    return PairedComparison(len(shared), "", differences.compare_accuracies(answers, groups))


def changed_parameters(first: Run, second: Run) -> list[tuple[str, str, str]] | None:
    """The parameters in which the runs differ, with both values; None where those of one are not known."""
    if first.parameters is None or second.parameters is None:
        return None
    keys = dict.fromkeys([*first.parameters, *second.parameters])
    pairs = ((key, *(_plain(run.parameters, key) for run in (first, second))) for key in keys)
    return [(key, ours, theirs) for key, ours, theirs in pairs if ours != theirs]


def _right(run: Run, tested: pd.DataFrame) -> pd.DataFrame:
    """Whether each model, and the soft vote, answered rightly: a row a test image, a column a model."""
    temperatures = {model: facts["temperature"] for model, facts in run.evaluated.items() if "temperature" in facts}
    if set(tested["model"]) <= set(temperatures):
        tested = pd.concat([tested, comparison.ensemble_predictions(tested, temperatures)], ignore_index=True)
    told = tested.assign(right=tested["label"] == prediction_table.predicted_classes(tested))
    return told.pivot(index=IMAGE_KEY, columns="model", values="right")[tested["model"].drop_duplicates().tolist()]


def _plain(parameters: Mapping[str, Any] | None, key: str) -> str:
    value = (parameters or {}).get(key, "–")
    return f"{value:g}" if isinstance(value, float) else str(value)
