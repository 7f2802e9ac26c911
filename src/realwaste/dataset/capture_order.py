"""The capture order of photographs, derived from the numbers in their file names.

RealWaste's files were sorted as text by their capture numbers and then numbered again: in a class of n files, file p
was captured as number sorted(range(1, n + 1), key=str)[p - 1], so that Metal_2, 13, 24 and 35 are consecutive. Other
sets may be numbered in the same way ("text"), or simply in capture order ("numeric"). Consecutive photographs show
similar scenes, so both orders are tried, and a test decides whose neighbors look more alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NUMERIC, TEXT = "numeric", "text"
SIGNIFICANCE_LEVEL = 0.05
MAX_NUMBERS_PER_FILE = 20
_PERMUTATIONS = 9_999
_MAX_PAIRS = 10_000  # sampled for each order: more would change nothing, and take hours for millions of photographs


@dataclass(frozen=True)
class CaptureOrder:
    """The capture order of some photographs, and the evidence for it.

    Attributes:
        positions: each row's position in its series; missing if the file name has no number.
        evidence: for metrics: the order's name, how it was chosen, and the results of the test.
    """

    positions: pd.Series
    evidence: dict[str, Any]


def published_order(files: pd.DataFrame, counts: Mapping[str, int]) -> CaptureOrder:
    """The capture order of RealWaste's published files, with columns label, series and number: its rule is known.

    The rule needs the published `counts` of each class even if files are missing.
    """
    return CaptureOrder(_text_order(files, files["label"].map(counts)), {"order": TEXT, "chosen_by": "published"})


def order_by_similarity(files: pd.DataFrame, similarity: Callable[[Any, Any], float]) -> CaptureOrder:
    """Choose the numeric or the text order, whichever has more similar neighbors.

    The text order is chosen if a permutation test at SIGNIFICANCE_LEVEL shows that its neighbors are more similar. The
    test compares the pairs that are neighbors in only one of the two orders. The n of a series is its largest number.
    A series whose largest number exceeds MAX_NUMBERS_PER_FILE times its number of files is not numbered consecutively
    (its names may hold a time of day): its positions count its files in the numeric order.

    Args:
        files: columns series and number.
        similarity: a function of two index labels of `files`; higher means more similar.
    """
    series = files.groupby("series")["number"]
    largest, sizes = series.transform("max"), series.transform("size")
    is_consecutive = largest <= MAX_NUMBERS_PER_FILE * sizes
    numeric = files["number"].where(is_consecutive, series.rank(method="first")).astype("Int64")
    text = _text_order(files, largest.where(is_consecutive)).fillna(numeric)
    by_number, by_text = (
        {(min(pair), max(pair)) for pair in neighbor_pairs(files["series"], order)} for order in (numeric, text)
    )
    rng = np.random.default_rng(0)
    similarities = [_similarities(pairs, similarity, rng) for pairs in (by_text - by_number, by_number - by_text)]
    p = _permutation_p_value(similarities[0], similarities[1], rng)
    order_name = TEXT if p is not None and p < SIGNIFICANCE_LEVEL else NUMERIC
    facts: dict[str, Any] = {"order": order_name, "chosen_by": "likeness of neighbours", "p": p}
    for name, values in zip((TEXT, NUMERIC), similarities, strict=True):
        facts[f"{name}_alone_pairs"] = len(values)
        if len(values):
            facts[f"{name}_alone_likeness"] = round(float(values.mean()), 4)
    return CaptureOrder(text if order_name == TEXT else numeric, facts)


def neighbor_pairs(series: pd.Series, positions: pd.Series, step: int = 1) -> list[tuple[Any, Any]]:
    """Pairs of index labels (row, earlier row) that are `step` positions apart in one series."""
    placed = pd.DataFrame({"series": series, "shot": positions}).dropna()
    index_at = {(series_name, position): index for index, series_name, position in placed.itertuples(name=None)}
    return [
        (index, index_at[series_name, position - step])
        for (series_name, position), index in index_at.items()
        if (series_name, position - step) in index_at
    ]


def pairs_half_a_series_apart(series: pd.Series, positions: pd.Series) -> list[tuple[Any, Any]]:
    """Pairs of index labels (row, earlier row) with half of the series between them; none in a series of three."""
    placed = pd.DataFrame({"series": series, "shot": positions}).dropna().sort_values("shot", kind="stable")
    series_rows = [photographs.index.tolist() for _, photographs in placed.groupby("series") if len(photographs) > 3]
    return [pair for rows in series_rows for pair in zip(rows[len(rows) // 2 :], rows, strict=False)]


def are_neighbors_similar(neighbors: NDArray[np.float64], distant: NDArray[np.float64]) -> bool:
    """Whether a permutation test at SIGNIFICANCE_LEVEL shows that neighbors are more similar than distant photographs.

    If it does not, the capture order says nothing about which photographs show the same object. Both arguments are
    similarities of pairs of photographs.
    """
    rng = np.random.default_rng(0)
    neighbors, distant = (
        rng.choice(values, _MAX_PAIRS, replace=False) if len(values) > _MAX_PAIRS else values
        for values in (neighbors, distant)
    )
    p = _permutation_p_value(neighbors, distant, rng)
    return p is not None and p < SIGNIFICANCE_LEVEL


def _similarities(
    pairs: set[tuple[Any, Any]], similarity: Callable[[Any, Any], float], rng: np.random.Generator
) -> NDArray[np.float64]:
    ordered = sorted(pairs)
    if len(ordered) > _MAX_PAIRS:
        ordered = [ordered[row] for row in rng.choice(len(ordered), _MAX_PAIRS, replace=False)]
    return np.array([similarity(*pair) for pair in ordered])


def _text_order(files: pd.DataFrame, counts: pd.Series) -> pd.Series:
    """The position of each number p: the p-th of the numbers from 1 to its count sorted as text."""
    positions = pd.Series(pd.NA, index=files.index, dtype="Int64")
    for count, numbers in files["number"].groupby(counts):
        position_of_number = np.array(sorted(range(1, int(count) + 1), key=str))
        valid = numbers[(numbers >= 1) & (numbers <= count)]
        positions[valid.index] = position_of_number[valid.to_numpy(np.int64) - 1]
    return positions


def _permutation_p_value(
    first: NDArray[np.float64], second: NDArray[np.float64], rng: np.random.Generator
) -> float | None:
    """The p-value of a one-sided permutation test that the first mean is greater; None without values."""
    if not len(first) or not len(second):
        return None
    pooled, observed = np.concatenate([first, second]), first.mean() - second.mean()
    total, count = pooled.sum(), len(first)
    permuted_sums = np.array([rng.permutation(pooled)[:count].sum() for _ in range(_PERMUTATIONS)])
    differences = permuted_sums / count - (total - permuted_sums) / len(second)
    return float((1 + np.sum(differences >= observed - 1e-12)) / (1 + _PERMUTATIONS))
