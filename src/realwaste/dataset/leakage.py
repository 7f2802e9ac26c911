"""Leakage between the parts of a split: duplicates, near-duplicates, and neighbors in capture order.

RealWaste has several consecutive photographs of each object. A random split puts them into different parts, so that
test scores partly measure memorization.
"""

import math
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from realwaste.dataset import capture_order

MAX_HASH_DISTANCE = 6
"""The perceptual hashes of near-duplicates differ in at most this many of 64 bits."""
MAX_GROUP_SHARE = 0.05
"""Near-duplicates may join at most this share of a class in one group."""
_UNRELATED_SHARE = 0.95
"""A short series is cut where neighbors are less similar than this share of its distant photographs."""
_BATCH_ROWS = 2048


def parse_file_numbers(paths: pd.Series) -> pd.DataFrame:
    """series (folder and name before the last number) and number of each file name; both missing without a number."""
    names = [path.rpartition("/") for path in paths]
    matches = [re.fullmatch(r"(.*?)(\d{1,15})(\D*)", name.rpartition(".")[0]) for _, _, name in names]
    # The text after the number distinguishes `1_front` from `1_back`.
    series = [
        f"{folder}/{match[1]}*{match[3]}" if match else None
        for (folder, _, _), match in zip(names, matches, strict=True)
    ]
    numbers = pd.array([int(match[2]) if match else None for match in matches], dtype="Int64")
    return pd.DataFrame({"series": pd.Series(series, dtype=object), "number": numbers}).set_index(paths.index)


def find_near_duplicates(manifest: pd.DataFrame) -> NDArray[np.int64]:
    """Pairs of row numbers (n, 2) whose hashes, or hash and mirrored hash, differ in at most MAX_HASH_DISTANCE bits.

    Args:
        manifest: with phash and phash_mirrored. The time grows with the square of the rows: 0.2 s for RealWaste.
    """
    hashes, mirrored = _hashes(manifest)
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(hashes), _BATCH_ROWS):
        batch = hashes[start : start + _BATCH_ROWS, np.newaxis]
        rows, columns = np.nonzero(_hash_distance(batch, hashes, mirrored) <= MAX_HASH_DISTANCE)
        pairs.append(np.stack([rows + start, columns], axis=1)[rows + start < columns])
    return np.concatenate(pairs)


def have_near_duplicates(manifest: pd.DataFrame, phashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each image is a near-duplicate of one of other images, whose perceptual hashes are given."""
    hashes, mirrored = _hashes(manifest)
    matches = np.zeros(len(hashes), bool)
    for start in range(0, len(phashes), _BATCH_ROWS):
        batch = phashes[start : start + _BATCH_ROWS, np.newaxis]
        matches |= (_hash_distance(batch, hashes, mirrored) <= MAX_HASH_DISTANCE).any(axis=0)
    return matches


def assign_groups(
    manifest: pd.DataFrame, block: int, near_duplicates: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Number the near-duplicate groups: rows with the same number must be in one part of a split.

    A group joins files with the same bytes and, if neighbors in capture order are similar, runs of about `block`
    photographs, cut between the least similar ones. Near-duplicates then join runs, the nearest first, unless the group
    would exceed MAX_GROUP_SHARE of a class. A group never contains two class folders, whatever labels were corrected.

    Args:
        manifest: path, label, sha256, phash, phash_mirrored, series, shot, and the likeness columns.
        block: the mean number of photographs in a run.
        near_duplicates: the result of find_near_duplicates, if it was computed already.
    """
    near_duplicates = find_near_duplicates(manifest) if near_duplicates is None else near_duplicates
    folder = manifest["path"].str.rpartition("/")[0].to_numpy()
    near_duplicates = near_duplicates[folder[near_duplicates[:, 0]] == folder[near_duplicates[:, 1]]]
    identical = manifest.groupby(["sha256", folder], sort=False).ngroup().to_numpy()
    runs = _runs(manifest, block)
    count = len(manifest)
    edges = np.arange(2 * count) % count, np.concatenate([_first_row(identical), _first_row(runs)])
    graph = coo_array((np.ones(2 * count, np.int8), edges), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    classes = manifest.groupby("label")["label"].transform("size").to_numpy()
    max_group_size = np.maximum(block + block // 2, MAX_GROUP_SHARE * classes)
    (hashes, mirrored), (first, second) = _hashes(manifest), near_duplicates.T
    distances = _hash_distance(hashes[first], hashes[second], mirrored[second])
    # Lists of rows are fast even if all images are alike, when the number of pairs is quadratic.
    members: list[list[int]] = [[] for _ in range(group.max() + 1)]
    for row, number in enumerate(group.tolist()):
        members[number].append(row)
    for first_row, second_row in near_duplicates[np.argsort(distances, kind="stable")].tolist():
        target, merged = group[first_row], group[second_row]
        if target != merged and len(members[target]) + len(members[merged]) <= min(
            max_group_size[first_row], max_group_size[second_row]
        ):
            group[members[merged]] = target
            members[target] += members[merged]
            members[merged] = []
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def summarize_groups(manifest: pd.DataFrame, group: NDArray[np.int64]) -> dict[str, Any]:
    """The number of groups, the images in the largest, and the largest share of a class in one group."""
    table = pd.crosstab(group, manifest["label"].to_numpy())
    return {
        "groups": len(table),
        "largest_group": int(table.sum(axis=1).max()),
        "largest_share_of_a_class": round(float((table / table.sum()).to_numpy().max()), 4),
    }


def measure_exposure(splits: pd.DataFrame, near_duplicates: NDArray[np.int64]) -> dict[str, Any]:
    """How much of the test part the model has seen in some form, from `splits`, the manifest with a column `split`.

    Returns:
        Counts of test images with a duplicate or near-duplicate outside of the test part, and shares of test images
        with a neighbor in capture order in the training part, for a distance of one and of two.
    """
    part = splits["split"].to_numpy()
    test, train = part == "test", part == "train"
    elsewhere = pd.Series(~test).groupby(splits["sha256"].to_numpy()).transform("any").to_numpy()
    paired_rows = near_duplicates[test[near_duplicates[:, 0]] != test[near_duplicates[:, 1]]].ravel()
    facts: dict[str, Any] = {
        "exact_duplicates": int((test & elsewhere).sum()),
        "near_duplicates": len(np.unique(paired_rows[test[paired_rows]])),
    }
    numbers = splits[["series", "shot"]]
    train_positions = set(numbers[train].dropna().itertuples(index=False, name=None))
    test_positions = list(numbers[test].dropna().itertuples(index=False, name=None))
    for distance in (1, 2):
        neighbors = [
            any((series, number + step) in train_positions for step in range(-distance, distance + 1) if step)
            for series, number in test_positions
        ]
        facts[f"neighbour_within_{distance}"] = round(sum(neighbors) / max(1, int(test.sum())), 4)
    return facts


def count_shared_images(splits: pd.DataFrame, near_duplicates: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """For each pair of parts, count images of the second with a duplicate or near-duplicate in the first."""
    part, digest = splits["split"].to_numpy(), splits["sha256"].to_numpy()
    ordered_pairs = np.concatenate([near_duplicates, near_duplicates[:, ::-1]])
    counts = {}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        across = ordered_pairs[(part[ordered_pairs[:, 0]] == first) & (part[ordered_pairs[:, 1]] == second)]
        identical = np.isin(digest[part == second], digest[part == first])
        counts[f"{first}_{second}"] = {
            "exact_duplicates": int(identical.sum()),
            "near_duplicates": len(np.unique(across[:, 1])),
        }
    return counts


def _first_row(numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    """For each row, the first row with the same number."""
    return pd.Series(range(len(numbers))).groupby(numbers).transform("min").to_numpy(np.int64)


def _runs(manifest: pd.DataFrame, block: int) -> NDArray[np.int64]:
    runs = np.arange(len(manifest)) + len(manifest)  # a file without a position is a run of its own
    neighbors, distant = (manifest[column].dropna().to_numpy(np.float64) for column in ("likeness", "likeness_far"))
    if not capture_order.are_neighbors_similar(neighbors, distant):
        return runs
    min_similarity = float(np.quantile(distant, _UNRELATED_SHARE))
    placed = manifest.assign(row=range(len(manifest))).dropna(subset=["series", "shot"])
    for number, (_, photographs) in enumerate(placed.groupby("series", sort=True)):
        ordered = photographs.sort_values("shot")
        first, second = (
            np.nan_to_num(ordered[column].to_numpy(np.float64)) for column in ("likeness", "likeness_second")
        )
        length = _run_length(ordered["shot"].to_numpy(np.int64), block)
        run_count = max(round(len(first) / length), math.ceil(len(first) / _run_lengths(length)[-1]))
        starts = _cuts(first, second, length, run_count) if run_count > 1 else np.flatnonzero(first < min_similarity)
        run = np.searchsorted(starts, np.arange(len(photographs)), side="right")
        runs[ordered["row"].to_numpy()] = 2 * len(manifest) * (number + 1) + run
    return runs


def _run_length(shots: NDArray[np.int64], block: int) -> int:
    """How many files of a series are among `block` photographs, if files are missing, as in a test set."""
    gap = float(np.median(np.diff(shots))) if len(shots) > 1 else 1.0
    return max(1, round(block / max(1.0, gap)))


def _run_lengths(block: int) -> NDArray[np.int64]:
    """From half of `block` to less than one and a half times that."""
    min_length = max(1, block // 2)
    return np.arange(min_length, block + min_length)


def _cuts(first: NDArray[np.float64], second: NDArray[np.float64], block: int, run_count: int) -> list[int]:
    """The positions where the runs of a series start, so that the similarity across the cuts is minimal in total.

    Runs have `block` photographs on average, and a length of `_run_lengths`. Solved by dynamic programming.

    Args:
        first, second: the similarity of each photograph to the previous one in capture order, and to the one before it.
    """
    count, lengths = len(first), _run_lengths(block)
    # The fourth power makes one pair of the same object weigh more than several pairs with the same background.
    across = np.append(first**4 + second**4 + np.append(second[1:], 0) ** 4, 0)
    cost = np.where(np.arange(count + 1) == 0, 0.0, np.inf)  # of the best cuts up to each position
    starts = []
    for _ in range(run_count):
        start_positions = np.arange(count + 1)[:, np.newaxis] - lengths
        costs = np.where(start_positions >= 0, cost[start_positions], np.inf)
        starts.append(np.take_along_axis(start_positions, costs.argmin(axis=1)[:, np.newaxis], axis=1)[:, 0])
        cost = costs.min(axis=1) + across
    cuts = [count]
    for start in reversed(starts):
        cuts.append(int(start[cuts[-1]]))
    return cuts[:0:-1]


def _hash_distance(
    first: NDArray[np.uint64], second: NDArray[np.uint64], second_mirrored: NDArray[np.uint64]
) -> NDArray[np.integer]:
    """The number of differing bits, to the second hash or to its mirrored hash, whichever is smaller."""
    return np.minimum(np.bitwise_count(first ^ second), np.bitwise_count(first ^ second_mirrored))


def _hashes(manifest: pd.DataFrame) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The perceptual hashes of all images, and of their mirror images."""
    columns = manifest["phash"], manifest["phash_mirrored"]
    hashes, mirrored = (np.array([int(value, 16) for value in column], np.uint64) for column in columns)
    return hashes, mirrored
