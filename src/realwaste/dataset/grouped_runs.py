"""A grouped split in runs of photographs, and how long these may be where a class has few."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.core.errors import UserError
from realwaste.dataset import leakage, split


def grouped_in_runs(
    manifest: pd.DataFrame, group: NDArray[np.int64], block: int, near: NDArray[np.int64], **drawn: Any
) -> pd.DataFrame:
    """As split.grouped, whose other parameters are `drawn`; where that fails, the remedy names a block that works.

    Args:
        group: leakage.groups with `block` and `near`.
    """
    try:
        return split.grouped(manifest, group, **drawn)
    except UserError as error:
        smaller = smaller_block(manifest, block, near, **drawn)
        if smaller is None:
            raise
        remedy = f"Take shorter runs of photographs, -S split.block={smaller}, or add images."
        raise UserError(error.rule, remedy, error.received) from None


def smaller_block(
    manifest: pd.DataFrame, block: int, near: NDArray[np.int64], most_off: float = 1.0, **drawn: Any
) -> int | None:
    """The largest block below `block` with which split.grouped succeeds, and no part is more than `most_off` off."""
    fewest = int(manifest["label"].value_counts().min())
    for size in range(min(block, fewest) - 1, 1, -1):
        try:
            splits = split.grouped(manifest, leakage.groups(manifest, size, near), **drawn)
        except UserError:
            continue
        if split.share_off(splits, drawn) <= most_off:
            return size
    return None
