"""An array whose rows are in several files, for arrays larger than memory: rows are read when they are indexed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.integer] | NDArray[np.bool_] | slice


def open_memory_map(path: Path) -> NDArray[Any]:
    """Open a .npy file as a memory map: only indexed parts are read."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


class Shards:
    """Files of rows, one after the other, indexed like an array (n, …): by a slice, row numbers or a boolean mask.

    Indexing returns an array in memory. A file is open only while it is read: there may be more files than a process
    may open.
    """

    def __init__(
        self,
        files: Sequence[Path],
        counts: Sequence[int],
        read: Callable[[Path], NDArray[Any]] = open_memory_map,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Join at least one file, with `counts` rows each; `rows` are selected, in this order; None means all."""
        self._files, self._counts, self._read, self._rows = list(files), list(counts), read, rows
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])
        first = read(self._files[0])
        self.dtype = first.dtype
        self.shape = (int(self._starts[-1]) if rows is None else len(rows), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index) -> NDArray[Any]:
        rows = self._row_numbers(index)
        values = np.empty((len(rows), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shards):
            positions = np.flatnonzero(shards == shard)
            values[positions] = self._read(self._files[shard])[rows[positions] - self._starts[shard]]
        return values

    def take(self, index: Index) -> "Shards":
        """Select rows without reading them."""
        return Shards(self._files, self._counts, self._read, self._row_numbers(index))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows in memory; always a copy."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def _row_numbers(self, index: Index) -> NDArray[np.int64]:
        count = len(self)
        if isinstance(index, slice):
            rows = np.arange(*index.indices(count))
        elif index.dtype == bool:
            rows = np.flatnonzero(index)
        else:
            rows = index.astype(np.int64)
        rows = np.where(rows < 0, rows + count, rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < count:
            raise IndexError(f"rows 0 to {count - 1} exist, not {rows.min()} to {rows.max()}")
        return rows if self._rows is None else self._rows[rows]
