"""Every model's probabilities for every image, in one long table that all later numbers come from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.images import read_ahead
from realwaste.scores import Labels, Probabilities
from realwaste.shards import Shards

if TYPE_CHECKING:
    import keras

PREFIX = "p_"


def rows(splits: pd.DataFrame, model: str, probabilities: Probabilities, classes: Sequence[str]) -> pd.DataFrame:
    """path, label, split, model and a column p_<class> a class; rows as in `splits`."""
    table = splits[["path", "label", "split"]].assign(model=model).reset_index(drop=True)
    return pd.concat([table, pd.DataFrame(probabilities, columns=[PREFIX + name for name in classes])], axis=1)


def of_pictures(model: "keras.Model", files: Sequence[Path], batch_size: int) -> Probabilities:
    """Probabilities (n, classes) for image files, read a batch at a time: they need not fit in memory."""
    return of_batches(model, read_ahead(files, model.input_shape[1], batch_size))


def of_batches(model: "keras.Model", batches: Iterable[Any]) -> Probabilities:
    """Probabilities (n, classes) for batches of what the model takes."""
    return np.concatenate([model.predict_on_batch(batch) for batch in batches])


def of_vectors(model: "keras.Model", vectors: NDArray[np.float32] | Shards, batch_size: int = 4096) -> Probabilities:
    """Probabilities (n, classes) for vectors (n, width)."""
    # Not model.predict: it feeds itself by a dataset with autotuning on, see realwaste.batches.
    return of_batches(model, (vectors[start : start + batch_size] for start in range(0, len(vectors), batch_size)))


def defined(probabilities: Probabilities) -> tuple[Probabilities, int]:
    """Answers that are numbers, and how many were not: weights that diverged have no opinion, which is 1/n."""
    undefined = np.asarray(~np.isfinite(probabilities).all(axis=1))
    return np.where(undefined[:, np.newaxis], 1 / probabilities.shape[1], probabilities), int(undefined.sum())


def classes_of(table: pd.DataFrame) -> list[str]:
    return [column.removeprefix(PREFIX) for column in table.columns if column.startswith(PREFIX)]


def probabilities_of(table: pd.DataFrame) -> Probabilities:
    return cast(Probabilities, table[[PREFIX + name for name in classes_of(table)]].to_numpy(np.float64))


def labels_of(table: pd.DataFrame) -> Labels:
    """Class numbers, in the order of the probability columns."""
    return pd.Index(classes_of(table)).get_indexer_for(table["label"])


def predicted(table: pd.DataFrame) -> pd.Series:
    """The name of the most probable class, a row."""
    return pd.Series(np.asarray(classes_of(table))[probabilities_of(table).argmax(axis=1)], index=table.index)


def confusions(table: pd.DataFrame) -> pd.DataFrame:
    """model, actual, predicted, images: every pair of classes of every model, those that never came up with 0."""
    counts = table.assign(actual=table["label"], predicted=predicted(table)).groupby(["model", "actual", "predicted"])
    every = pd.MultiIndex.from_product(
        [table["model"].unique(), classes_of(table), classes_of(table)], names=["model", "actual", "predicted"]
    )
    return counts.size().reindex(every, fill_value=0).rename("images").reset_index()
