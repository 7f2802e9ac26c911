"""The predictions table (data/predictions.csv): every model's probabilities for every image."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pandas as pd

from realwaste.models.probabilities import Labels, Probabilities, apply_temperature

PROBABILITY_PREFIX = "p_"
_TEMPERATURE = "temperature"


def build_rows(
    splits: pd.DataFrame,
    model: str,
    probabilities: Probabilities,
    classes: Sequence[str],
    temperature: float | None = None,
) -> pd.DataFrame:
    """path, label, split, group, model and one column p_<class> per class, in the order of the rows of `splits`.

    Args:
        temperature: the one with which `probabilities` were calibrated, for a column of that name; None without it.
    """
    table = splits[["path", "label", "split", "group"]].assign(model=model).reset_index(drop=True)
    if temperature is not None:
        table[_TEMPERATURE] = temperature
    return pd.concat(
        [table, pd.DataFrame(probabilities, columns=[PROBABILITY_PREFIX + name for name in classes])], axis=1
    )


def classes_of(table: pd.DataFrame) -> list[str]:
    """The classes in the order of the table's probability columns."""
    return [
        column.removeprefix(PROBABILITY_PREFIX) for column in table.columns if column.startswith(PROBABILITY_PREFIX)
    ]


def probabilities_of(table: pd.DataFrame) -> Probabilities:
    """The probabilities (rows, classes) of the table."""
    return cast(Probabilities, table[[PROBABILITY_PREFIX + name for name in classes_of(table)]].to_numpy(np.float64))


def calibrate(table: pd.DataFrame, temperatures: Mapping[str, float]) -> pd.DataFrame:
    """The rows of the models in `temperatures`, with calibrated probabilities.

    Runs of earlier versions stored raw ones, without the column temperature; only these are changed.
    """
    rows_of_models = table[table["model"].isin(list(temperatures))]
    if _TEMPERATURE in table.columns:
        return rows_of_models
    calibrated = rows_of_models.copy()
    columns = [PROBABILITY_PREFIX + name for name in classes_of(table)]
    for model, rows in calibrated.groupby("model", sort=False):
        calibrated.loc[rows.index, columns] = apply_temperature(probabilities_of(rows), temperatures[str(model)])
    return calibrated


def labels_of(table: pd.DataFrame) -> Labels:
    """The class index (rows,) of each label, in the order of the probability columns."""
    return pd.Index(classes_of(table)).get_indexer_for(table["label"])


def predicted_classes(table: pd.DataFrame) -> pd.Series:
    """The name of the most probable class of each row."""
    return pd.Series(np.asarray(classes_of(table))[probabilities_of(table).argmax(axis=1)], index=table.index)


def count_confusions(table: pd.DataFrame) -> pd.DataFrame:
    """model, actual, predicted, images: a row for every pair of classes of every model, also where images is 0."""
    counts = table.assign(actual=table["label"], predicted=predicted_classes(table)).groupby(
        ["model", "actual", "predicted"]
    )
    all_pairs = pd.MultiIndex.from_product(
        [table["model"].unique(), classes_of(table), classes_of(table)], names=["model", "actual", "predicted"]
    )
    return counts.size().reindex(all_pairs, fill_value=0).rename("images").reset_index()
