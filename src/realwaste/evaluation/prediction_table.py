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

    With `temperature`, by which `probabilities` were calibrated, there is also a column of that name.
    """
    table = splits[["path", "label", "split", "group"]].assign(model=model).reset_index(drop=True)
    if temperature is not None:
        table[_TEMPERATURE] = temperature
    columns = [PROBABILITY_PREFIX + name for name in classes]
    return pd.concat([table, pd.DataFrame(probabilities, columns=columns)], axis=1)


def probability_columns(table: pd.DataFrame) -> list[str]:
    """The names of the columns p_<class>."""
    return [column for column in table.columns if column.startswith(PROBABILITY_PREFIX)]


def classes_of(table: pd.DataFrame) -> list[str]:
    """The classes in the order of the table's probability columns."""
    return [column.removeprefix(PROBABILITY_PREFIX) for column in probability_columns(table)]


def probabilities_of(table: pd.DataFrame) -> Probabilities:
    """The probabilities (rows, classes) of the table."""
    return cast(Probabilities, table[probability_columns(table)].to_numpy(np.float64))


def calibrate(table: pd.DataFrame, temperatures: Mapping[str, float]) -> pd.DataFrame:
    """The rows of the models in `temperatures`, with calibrated probabilities.

    Runs of earlier versions stored raw ones, without the column temperature; only these are changed.
    """
    rows_of_models = table[table["model"].isin(list(temperatures))]
    if _TEMPERATURE in table.columns:
        return rows_of_models
    calibrated = rows_of_models.copy()
    for model, rows in calibrated.groupby("model", sort=False):
        calibrated_rows = apply_temperature(probabilities_of(rows), temperatures[str(model)])
        calibrated.loc[rows.index, probability_columns(table)] = calibrated_rows
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


def most_confident_mistakes(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """The most confident wrong predictions, at most `count`, of the one model whose rows `table` has.

    The columns are path, label, predicted, probability (of the predicted class) and label_probability.
    """
    probabilities = probabilities_of(table)
    predictions = table[["path", "label"]].assign(
        predicted=predicted_classes(table),
        probability=probabilities.max(axis=1),
        label_probability=probabilities[range(len(table)), labels_of(table)],
    )
    mistakes = predictions[predictions["predicted"] != predictions["label"]]
    ranked = mistakes.sort_values(["probability", "path"], ascending=[False, True], kind="stable")
    return ranked.head(count).reset_index(drop=True)
