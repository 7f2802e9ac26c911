"""How much a test set knows of its training set: the same file, nearly the same picture, the next photograph.

RealWaste photographs an object several times under neighbouring file numbers. A random split puts such photographs on
both sides, and a test then asks in part for what was learned by heart.
"""

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR = 6
"""Bits of 64 by which the perceptual hashes of near-duplicates differ at most."""
_AT_ONCE = 2048


def numbered(paths: pd.Series) -> pd.DataFrame:
    """series (folder and name before the last number) and number of each file name; both missing where it has none."""
    found = [re.fullmatch(r"(.*?)(\d{1,15})(\D*)", path.rpartition(".")[0]) for path in paths]
    # What stands behind the number keeps `1_front` and `1_back` apart.
    series = [f"{match[1]}*{match[3]}" if match else None for match in found]
    numbers = pd.array([int(match[2]) if match else None for match in found], dtype="Int64")
    return pd.DataFrame({"series": pd.Series(series, dtype=object), "number": numbers}).set_index(paths.index)


def near_duplicates(manifest: pd.DataFrame, most: int = NEAR) -> NDArray[np.int64]:
    """Pairs (n, 2) of rows whose hashes differ by `most` bits at most, one of them mirrored or not.

    Args:
        manifest: with phash and phash_mirrored. The time grows with the square of its rows: 0.2 s for RealWaste's.
    """
    plain, mirrored = (_bits(manifest[column]) for column in ("phash", "phash_mirrored"))
    pairs = []
    for start in range(0, len(plain), _AT_ONCE):
        part = plain[start : start + _AT_ONCE, np.newaxis]
        distance = np.minimum(np.bitwise_count(part ^ plain), np.bitwise_count(part ^ mirrored))
        rows, columns = np.nonzero(distance <= most)
        pairs.append(np.stack([rows + start, columns], axis=1))
    found = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    return found[found[:, 0] < found[:, 1]]


def groups(manifest: pd.DataFrame, near: NDArray[np.int64], block: int) -> NDArray[np.int64]:
    """A group number for each row: what may not be on two sides of a split has the same.

    Joined are the same bytes, near-duplicates, and runs of neighbouring numbers, of about `block` files each. A run is
    cut where the neighbours look least alike, so that an object's photographs stay together if that shows.

    Args:
        manifest: sha256, series, number, likeness (to the file numbered before).
        near: its near_duplicates.
    """
    count = len(manifest)
    same = manifest.groupby("sha256", sort=False).ngroup().to_numpy()
    first = pd.Series(range(count)).groupby(same).transform("min").to_numpy()
    runs = _runs(manifest, block)
    first_of_run = pd.Series(range(count)).groupby(runs).transform("min").to_numpy()
    rows = np.concatenate([np.arange(count), np.arange(count), near[:, 0]])
    columns = np.concatenate([first, first_of_run, near[:, 1]])
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return labels.astype(np.int64)


def exposure(splits: pd.DataFrame, near: NDArray[np.int64]) -> dict[str, Any]:
    """Test images that training has in some form, as counts, and as shares of the test images where neighbours count.

    Args:
        splits: the manifest with `split`.
        near: its near_duplicates.
    """
    part = splits["split"].to_numpy()
    test, train = part == "test", part == "train"
    shown = pd.Series(part != "test").groupby(splits["sha256"].to_numpy()).transform("any").to_numpy()
    across = near[test[near[:, 0]] != test[near[:, 1]]]
    ends = across.ravel()
    facts: dict[str, Any] = {
        "exact_duplicates": int((test & shown).sum()),
        "near_duplicates": len(np.unique(ends[test[ends]])),
    }
    numbers = splits[["series", "number"]]
    known = set(numbers[train].dropna().itertuples(index=False, name=None))
    tested = list(numbers[test].dropna().itertuples(index=False, name=None))
    for reach in (1, 2):
        beside = [
            any((series, number + step) in known for step in range(-reach, reach + 1) if step)
            for series, number in tested
        ]
        facts[f"neighbour_within_{reach}"] = round(sum(beside) / max(1, int(test.sum())), 4)
    return facts


def _runs(manifest: pd.DataFrame, block: int) -> NDArray[np.int64]:
    order = manifest[["series", "number", "likeness"]].assign(row=range(len(manifest)))
    runs = np.arange(len(manifest)) + len(manifest)  # a file without a number is alone
    for number, own in enumerate(_series(order)):
        likeness = own["likeness"].to_numpy(np.float64)
        # Runs are of half a block to one and a half, cut where the likeness to the file before is least.
        cuts, half = [0], block // 2
        while len(own) - cuts[-1] > block + half:
            nearest, furthest = cuts[-1] + half, min(cuts[-1] + block + half, len(own) - half)
            window = np.nan_to_num(likeness[nearest : furthest + 1], nan=-1.0)
            cuts.append(nearest + int(window.argmin()))
        piece = np.searchsorted(cuts, np.arange(len(own)), side="right")
        runs[own["row"].to_numpy()] = 2 * len(manifest) * (number + 1) + piece
    return runs


def _series(order: pd.DataFrame) -> list[pd.DataFrame]:
    named = order.dropna(subset=["series"])
    return [own.sort_values("number") for _, own in named.groupby("series", sort=True)]


def _bits(hashes: pd.Series) -> NDArray[np.uint64]:
    return np.array([int(value, 16) for value in hashes], np.uint64)
