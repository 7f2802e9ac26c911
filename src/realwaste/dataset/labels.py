"""Labels of the images in a table: the classes and their numbers, and the part of the split that each image is in."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PARTS = ("train", "val", "test")


def classes_of(splits: pd.DataFrame) -> list[str]:
    """Class names in the order of their numbers: sorted. `splits` has a column label, a row an image."""
    return sorted(splits["label"].unique())


def labels_of(splits: pd.DataFrame, part: str) -> NDArray[np.int64]:
    """Class numbers (n,) of the images in one of PARTS, in the order of their rows."""
    own = splits.loc[splits["split"] == part, "label"]
    return pd.Index(classes_of(splits)).get_indexer_for(own).astype(np.int64)


def paths_of(splits: pd.DataFrame, part: str) -> list[str]:
    """Paths of the images in one of PARTS, in the order of their rows."""
    return splits.loc[splits["split"] == part, "path"].tolist()


def sample(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` rows, drawn at random, of each class its share; one at least, where `most` is that large.

    In their order.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    drawn = np.random.default_rng(seed).permutation(len(labels))
    classes = [drawn[labels[drawn] == label] for label in np.unique(labels)]
    sizes = np.array([max(1, round(most * len(own) / len(labels))) for own in classes])
    for _ in range(sizes.sum() - most):  # what rounding up has added
        sizes[sizes.argmax()] -= 1
    return np.sort(np.concatenate([own[:size] for own, size in zip(classes, sizes, strict=True)]))
