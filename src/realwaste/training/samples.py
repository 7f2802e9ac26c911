"""What a network is fitted to: pictures for the CNN, vectors for a head, with a class number each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.dataset.labels import labels_of, paths_of
from realwaste.images.array_shards import Shards
from realwaste.training import pixel_cache
from realwaste.training.pixel_cache import DecodedOnRead


@dataclass(frozen=True)
class Samples:
    """Inputs (n, …), pictures or vectors, with their labels (n,), which are class numbers."""

    inputs: NDArray[Any] | DecodedOnRead | Shards
    labels: NDArray[np.int64]


def pictures(
    splits: pd.DataFrame, root: Path, size: int, cache: str, *, side_by_side: int = 1
) -> tuple[Samples, Samples, str]:
    """Train and validation pictures, (n, size, size, 3) uint8, and the cache they are in.

    Args:
        cache: memory, disk or none; the next one where it does not fit, see realwaste.training.pixel_cache. A file is
            made beside `root`.
        side_by_side: processes of this machine that each keep as many.
    """
    files = {part: [root / path for path in paths_of(splits, part)] for part in ("train", "val")}
    used = pixel_cache.choose(cache, side_by_side * sum(map(len, files.values())), size, root.parent)
    train, val = (
        Samples(pixel_cache.decoded(own, size, used, root.parent), labels_of(splits, part))
        for part, own in files.items()
    )
    return train, val, used
