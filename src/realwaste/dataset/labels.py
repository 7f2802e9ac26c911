"""Labels of the images in a split table: class names, class numbers, and paths of each part."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PARTS = ("train", "val", "test")


def classes_of(splits: pd.DataFrame) -> list[str]:
    """The sorted class names; their positions are the class numbers. `splits` has one row per image."""
    return sorted(splits["label"].unique())


def labels_of(splits: pd.DataFrame, part: str) -> NDArray[np.int64]:
    """Class numbers (n,) of the images in one of PARTS, in row order."""
    part_labels = splits.loc[splits["split"] == part, "label"]
    return pd.Index(classes_of(splits)).get_indexer_for(part_labels).astype(np.int64)


def paths_of(splits: pd.DataFrame, part: str) -> list[str]:
    """Paths of the images in one of PARTS, in row order."""
    return splits.loc[splits["split"] == part, "path"].tolist()


def sample_rows(labels: NDArray[np.int64], max_rows: int, seed: int) -> NDArray[np.int64]:
    """Draw a stratified random sample of at most `max_rows` row numbers, sorted.

    Every class has at least one row if `max_rows` is at least the number of classes.
    """
    if len(labels) <= max_rows:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    classes = [shuffled[labels[shuffled] == label] for label in np.unique(labels)]
    sizes = np.array([max(1, round(max_rows * len(class_rows) / len(labels))) for class_rows in classes])
    for _ in range(sizes.sum() - max_rows):  # rounding may have added rows
        sizes[sizes.argmax()] -= 1
    return np.sort(np.concatenate([class_rows[:size] for class_rows, size in zip(classes, sizes, strict=True)]))
