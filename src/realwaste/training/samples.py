"""What a network is trained on: pictures for the CNN, vectors for a head, each with a class number."""

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

    def take(self, rows: NDArray[np.int64]) -> "Samples":
        """These rows; they may repeat."""
        return Samples(self.inputs[rows], self.labels[rows])


def load_pictures(
    splits: pd.DataFrame, root: Path, size: int, cache: str, *, side_by_side: int = 1
) -> tuple[Samples, Samples, str]:
    """Training and validation pictures, (n, size, size, 3) uint8, and the cache that holds them.

    Args:
        cache: memory, disk or none; the next one if it is too small, see realwaste.training.pixel_cache. The file of
            `disk` is beside `root`.
        side_by_side: the number of processes on this machine that each hold the same pictures.
    """
    files = {part: [root / path for path in paths_of(splits, part)] for part in ("train", "val")}
    chosen_cache = pixel_cache.choose_cache(cache, side_by_side * sum(map(len, files.values())), size, root.parent)
    train, val = (
        Samples(pixel_cache.decode_all(paths, size, chosen_cache, root.parent), labels_of(splits, part))
        for part, paths in files.items()
    )
    return train, val, chosen_cache
