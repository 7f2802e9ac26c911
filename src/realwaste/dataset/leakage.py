"""How much a test set knows of its training set: the same file, nearly the same picture, the next photograph.

RealWaste photographs an object several times, one photograph after the other. A random split puts them on both sides,
and a test then asks in part for what was learned by heart.
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
LARGEST = 0.05
"""Share of a class that near-duplicates may bring together in one group."""
_AT_ONCE = 2048


def numbered(paths: pd.Series) -> pd.DataFrame:
    """series (folder and name before the last number) and number of each file name; both missing where it has none."""
    names = [path.rpartition("/") for path in paths]
    found = [re.fullmatch(r"(.*?)(\d{1,15})(\D*)", name.rpartition(".")[0]) for _, _, name in names]
    # What stands behind the number keeps `1_front` and `1_back` apart.
    series = [
        f"{folder}/{match[1]}*{match[3]}" if match else None for (folder, _, _), match in zip(names, found, strict=True)
    ]
    numbers = pd.array([int(match[2]) if match else None for match in found], dtype="Int64")
    return pd.DataFrame({"series": pd.Series(series, dtype=object), "number": numbers}).set_index(paths.index)


def near_duplicates(manifest: pd.DataFrame, most: int = NEAR) -> NDArray[np.int64]:
    """Pairs (n, 2) of rows whose hashes differ by `most` bits at most, one of them mirrored or not.

    Args:
        manifest: with phash and phash_mirrored. The time grows with the square of its rows: 0.2 s for RealWaste's.
    """
    plain, mirrored = _hashes(manifest)
    pairs = []
    for start in range(0, len(plain), _AT_ONCE):
        part = plain[start : start + _AT_ONCE, np.newaxis]
        rows, columns = np.nonzero(_apart(part, plain, mirrored) <= most)
        pairs.append(np.stack([rows + start, columns], axis=1))
    found = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    return found[found[:, 0] < found[:, 1]]


def groups(manifest: pd.DataFrame, block: int, near: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """A group number for each row: what may not be on two sides of a split has the same.

    Joined are the same bytes, and runs of photographs that were shot one after the other, of about `block` each. A run
    is cut where the photographs on both sides look least alike, so that an object's photographs stay together if that
    shows. Near-duplicates join runs too, the nearest first, but for those that would make a group of more than LARGEST
    of a class: over a uniform background one would lead to the next, without end. A group never spans
    classes, by the folders: a label mended by hand leaves a photograph among those of its object.

    Args:
        manifest: path, label, sha256, phash, phash_mirrored, series, shot, likeness, likeness_second.
        near: its near_duplicates, where they are known.
    """
    near = near_duplicates(manifest) if near is None else near
    folder = manifest["path"].str.rpartition("/")[0].to_numpy()
    near = near[folder[near[:, 0]] == folder[near[:, 1]]]
    same = manifest.groupby(["sha256", folder], sort=False).ngroup().to_numpy()
    runs = _runs(manifest, block)
    count = len(manifest)
    ends = np.arange(2 * count) % count, np.concatenate([_first(same), _first(runs)])
    joined = coo_array((np.ones(2 * count, np.int8), ends), shape=(count, count))
    _, group = connected_components(joined, directed=False)
    classes = manifest.groupby("label")["label"].transform("size").to_numpy()
    most = np.maximum(block + block // 2, LARGEST * classes)
    (plain, mirrored), (first, second) = _hashes(manifest), near.T
    distances = _apart(plain[first], plain[second], mirrored[second])
    # Lists of rows, since many pictures that are all alike are as many pairs as their square.
    members: list[list[int]] = [[] for _ in range(group.max() + 1)]
    for row, number in enumerate(group.tolist()):
        members[number].append(row)
    for one, other in near[np.argsort(distances, kind="stable")].tolist():
        into, taken = group[one], group[other]
        if into != taken and len(members[into]) + len(members[taken]) <= min(most[one], most[other]):
            group[members[taken]] = into
            members[into] += members[taken]
            members[taken] = []
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def group_sizes(manifest: pd.DataFrame, group: NDArray[np.int64]) -> dict[str, Any]:
    """How many groups there are, the images of the largest, and the largest share that one has of a class."""
    table = pd.crosstab(group, manifest["label"].to_numpy())
    return {
        "groups": len(table),
        "largest_group": int(table.sum(axis=1).max()),
        "largest_share_of_a_class": round(float((table / table.sum()).to_numpy().max()), 4),
    }


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
    numbers = splits[["series", "shot"]]
    known = set(numbers[train].dropna().itertuples(index=False, name=None))
    tested = list(numbers[test].dropna().itertuples(index=False, name=None))
    for reach in (1, 2):
        beside = [
            any((series, number + step) in known for step in range(-reach, reach + 1) if step)
            for series, number in tested
        ]
        facts[f"neighbour_within_{reach}"] = round(sum(beside) / max(1, int(test.sum())), 4)
    return facts


def between(splits: pd.DataFrame, near: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Of each two parts, images of the second that the first has to the byte, and that are near-duplicates of its own.

    Args:
        splits, near: as of `exposure`.
    """
    part, digest = splits["split"].to_numpy(), splits["sha256"].to_numpy()
    both = np.concatenate([near, near[:, ::-1]])
    found = {}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        across = both[(part[both[:, 0]] == first) & (part[both[:, 1]] == second)]
        same = np.isin(digest[part == second], digest[part == first])
        found[f"{first}_{second}"] = {
            "exact_duplicates": int(same.sum()),
            "near_duplicates": len(np.unique(across[:, 1])),
        }
    return found


def _first(numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    """The first row with the same number, for each row."""
    return pd.Series(range(len(numbers))).groupby(numbers).transform("min").to_numpy(np.int64)


def _runs(manifest: pd.DataFrame, block: int) -> NDArray[np.int64]:
    runs = np.arange(len(manifest)) + len(manifest)  # a file without a place is alone
    known = manifest.assign(row=range(len(manifest))).dropna(subset=["series", "shot"])
    for number, (_, own) in enumerate(known.groupby("series", sort=True)):
        ordered = own.sort_values("shot")
        first, second = (ordered[column].to_numpy(np.float64) for column in ("likeness", "likeness_second"))
        cuts = _cuts(np.nan_to_num(first), np.nan_to_num(second), block)
        piece = np.searchsorted(cuts, np.arange(len(own)), side="right")
        runs[ordered["row"].to_numpy()] = 2 * len(manifest) * (number + 1) + piece
    return runs


def _cuts(first: NDArray[np.float64], second: NDArray[np.float64], block: int) -> list[int]:
    """The first photographs of a series' runs, such that what is alike across the cuts is least in all.

    By dynamic programming: of `block` photographs in the mean, and of half to less than one and a half of it each.

    Args:
        first, second: likeness of each photograph to the one shot before it, and to the one before that.
    """
    count, least = len(first), max(1, block // 2)
    runs = round(count / block)
    lengths = np.arange(least, block + least)
    if runs < 2 or runs * lengths[-1] < count:
        return [0]
    # To the fourth power: one pair that is the same object weighs more than several that share a background.
    across = np.append(first**4 + second**4 + np.append(second[1:], 0) ** 4, 0)
    cost = np.where(np.arange(count + 1) == 0, 0.0, np.inf)  # of the least cuts up to each place
    starts = []
    for _ in range(runs):
        before = np.arange(count + 1)[:, np.newaxis] - lengths
        costs = np.where(before >= 0, cost[before], np.inf)
        starts.append(np.take_along_axis(before, costs.argmin(axis=1)[:, np.newaxis], axis=1)[:, 0])
        cost = costs.min(axis=1) + across
    cuts = [count]
    for start in reversed(starts):
        cuts.append(int(start[cuts[-1]]))
    return cuts[:0:-1]


def _apart(one: NDArray[np.uint64], other: NDArray[np.uint64], mirrored: NDArray[np.uint64]) -> NDArray[np.integer]:
    """Bits by which hashes differ, those of `other` mirrored or not, whichever is less."""
    return np.minimum(np.bitwise_count(one ^ other), np.bitwise_count(one ^ mirrored))


def _hashes(manifest: pd.DataFrame) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Of the pictures as they are, and mirrored."""
    columns = manifest["phash"], manifest["phash_mirrored"]
    plain, mirrored = (np.array([int(value, 16) for value in hashes], np.uint64) for hashes in columns)
    return plain, mirrored
