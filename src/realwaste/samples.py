"""Parts of the split as arrays: pictures for the CNN, vectors for the heads, class numbers for all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste import pixel_cache
from realwaste.pixel_cache import Files
from realwaste.shards import Shards


@dataclass(frozen=True)
class Samples:
    """inputs (n, …), pictures or vectors, with their labels (n,), class numbers."""

    inputs: NDArray[Any] | Files | Shards
    labels: NDArray[np.int64]


def classes_of(splits: pd.DataFrame) -> list[str]:
    """Class names in the order of their numbers: sorted."""
    return sorted(splits["label"].unique())


def labels_of(splits: pd.DataFrame, part: str) -> NDArray[np.int64]:
    own = splits.loc[splits["split"] == part, "label"]
    return pd.Index(classes_of(splits)).get_indexer_for(own).astype(np.int64)


def paths_of(splits: pd.DataFrame, part: str) -> list[str]:
    return splits.loc[splits["split"] == part, "path"].tolist()


def pictures(
    splits: pd.DataFrame, root: Path, size: int, cache: str, *, side_by_side: int = 1
) -> tuple[Samples, Samples, str]:
    """Train and validation pictures, (n, size, size, 3) uint8, and the cache they are in.

    Args:
        cache: memory, disk or none; the next one where it does not fit, see realwaste.pixel_cache. A file is made
            beside `root`.
        side_by_side: processes of this machine that each keep as many.
    """
    files = {part: [root / path for path in paths_of(splits, part)] for part in ("train", "val")}
    used = pixel_cache.choose(cache, side_by_side * sum(map(len, files.values())), size, root.parent)
    train, val = (
        Samples(pixel_cache.decoded(own, size, used, root.parent), labels_of(splits, part))
        for part, own in files.items()
    )
    return train, val, used
