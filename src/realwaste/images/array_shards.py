"""Rows of an array in several files, for arrays that no memory holds: read where they are asked for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.integer] | NDArray[np.bool_] | slice


def mapped(path: Path) -> NDArray[Any]:
    """A .npy file, of which only what is asked for is read."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


class Shards:
    """Files of rows one after the other, indexed as an array (n, …) is: by a slice, numbers of rows, or a mask.

    Every index gives an array in memory. A file is open no longer than it is read: there may be more of them than a
    process may open.
    """

    def __init__(
        self,
        files: Sequence[Path],
        counts: Sequence[int],
        read: Callable[[Path], NDArray[Any]] = mapped,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Of `counts` rows a file, at least one file; `rows` picks some of them, in that order."""
        self._files, self._counts, self._read, self._rows = list(files), list(counts), read, rows
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])
        first = read(self._files[0])
        self.dtype = first.dtype
        self.shape = (int(self._starts[-1]) if rows is None else len(rows), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index) -> NDArray[Any]:
        rows = self._chosen(index)
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shards):
            own = np.flatnonzero(shards == shard)
            found[own] = self._read(self._files[shard])[rows[own] - self._starts[shard]]
        return found

    def take(self, index: Index) -> "Shards":
        """These rows without reading them."""
        return Shards(self._files, self._counts, self._read, self._chosen(index))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them in memory; always a copy."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def _chosen(self, index: Index) -> NDArray[np.int64]:
        count = len(self)
        if isinstance(index, slice):
            chosen = np.arange(*index.indices(count))
        elif index.dtype == bool:
            chosen = np.flatnonzero(index)
        else:
            chosen = index.astype(np.int64)
        chosen = np.where(chosen < 0, chosen + count, chosen)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < count:
            raise IndexError(f"rows 0 to {count - 1} are here, not {chosen.min()} to {chosen.max()}")
        return chosen if self._rows is None else self._rows[chosen]
