"""Parts of the split as arrays: pictures for the CNN, class numbers for all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.images import read_many


@dataclass(frozen=True)
class Samples:
    """inputs (n, …), pictures or vectors, with their labels (n,), class numbers."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]


def classes_of(splits: pd.DataFrame) -> list[str]:
    """Class names in the order of their numbers: sorted."""
    return sorted(splits["label"].unique())


def labels_of(splits: pd.DataFrame, part: str) -> NDArray[np.int64]:
    own = splits.loc[splits["split"] == part, "label"]
    return pd.Index(classes_of(splits)).get_indexer_for(own).astype(np.int64)


def paths_of(splits: pd.DataFrame, part: str) -> list[str]:
    return splits.loc[splits["split"] == part, "path"].tolist()


def pictures(splits: pd.DataFrame, part: str, root: Path, size: int) -> Samples:
    """Every picture of a part decoded once, (n, size, size, 3) uint8: 196 kB each at 256 px."""
    files = [root / path for path in paths_of(splits, part)]
    return Samples(read_many(files, size), labels_of(splits, part))
