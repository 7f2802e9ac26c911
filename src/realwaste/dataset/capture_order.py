"""In which order photographs were shot, as far as the numbers in their names tell.

RealWaste's numbers are its shooting order, sorted as text and numbered again: in a class of n files, file p was shot as
number sorted(range(1, n + 1), key=str)[p - 1], so that Metal_2, 13, 24 and 35 follow each other. Other sets may be
numbered so too, or simply one after the other. Photographs that follow each other show like scenes, and so both are
tried: where neighbours by the one order alone look more alike than those by the other, that one it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NUMERIC, TEXT = "numeric", "text"
PUBLISHED = "published"
SHOWN = 0.05
SPARSE = 20
_PERMUTATIONS = 9_999
_MOST_PAIRS = 10_000  # of each kind, drawn: more would show nothing new, and take hours on millions of photographs


@dataclass(frozen=True)
class Order:
    """Places in the order of shooting, and why they are taken for it.

    Attributes:
        shot: a number a row, in its series; missing where a file has none.
        evidence: for metrics: the order's name, by what it was chosen, and the test's numbers.
    """

    shot: pd.Series
    evidence: dict[str, Any]


def published(files: pd.DataFrame, counts: Mapping[str, int]) -> Order:
    """The order of RealWaste's own files, of which the rule is known.

    Args:
        files: label, series and number.
        counts: published images of each class; the rule needs them also where only a part of the files is there.
    """
    return Order(_as_text(files, files["label"].map(counts)), {"order": TEXT, "chosen_by": PUBLISHED})


def by_likeness(files: pd.DataFrame, likeness: Callable[[Any, Any], float], seed: int = 0) -> Order:
    """Of the numbers themselves and the order as text, the one whose neighbours are more alike.

    That is the numbers, unless a permutation test of the pairs that are neighbours by one of the orders alone says at
    0.05 that those by text are more alike. n of a series is its largest number; series in which that is more than
    SPARSE times their files, as where names hold a time of day, are not numbered one after the other at all.

    Args:
        files: series and number; rows are known by their index.
        likeness: of two rows, by their index; the higher, the more alike.
    """
    series = files.groupby("series")["number"]
    largest, sizes = series.transform("max"), series.transform("size")
    text = _as_text(files, largest.where(largest <= SPARSE * sizes)).fillna(files["number"])
    by_number, by_text = (
        {(min(pair), max(pair)) for pair in before(files["series"], order)} for order in (files["number"], text)
    )
    chance = np.random.default_rng(seed)
    apart = [_likenesses(pairs, likeness, chance) for pairs in (by_text - by_number, by_number - by_text)]
    p = _greater(apart[0], apart[1], chance)
    chosen = TEXT if p is not None and p < SHOWN else NUMERIC
    facts: dict[str, Any] = {"order": chosen, "chosen_by": "likeness of neighbours", "p": p}
    for name, values in zip((TEXT, NUMERIC), apart, strict=True):
        facts |= {f"{name}_alone_pairs": len(values)}
        facts |= {f"{name}_alone_likeness": round(float(values.mean()), 4)} if len(values) else {}
    return Order(text if chosen == TEXT else files["number"], facts)


def before(series: pd.Series, shot: pd.Series, step: int = 1) -> list[tuple[Any, Any]]:
    """Each row that has one shot `step` places before it in its series, with that one; rows by their index."""
    known = pd.DataFrame({"series": series, "shot": shot}).dropna()
    at = {(own, place): index for index, own, place in known.itertuples(name=None)}
    return [(index, at[own, place - step]) for (own, place), index in at.items() if (own, place - step) in at]


def _likenesses(
    pairs: set[tuple[Any, Any]], likeness: Callable[[Any, Any], float], chance: np.random.Generator
) -> NDArray[np.float64]:
    ordered = sorted(pairs)
    if len(ordered) > _MOST_PAIRS:
        ordered = [ordered[place] for place in chance.choice(len(ordered), _MOST_PAIRS, replace=False)]
    return np.array([likeness(*pair) for pair in ordered])


def _as_text(files: pd.DataFrame, counts: pd.Series) -> pd.Series:
    """The place of each number among the numbers from 1 to its count, sorted as text."""
    shot = pd.Series(pd.NA, index=files.index, dtype="Int64")
    for count, own in files["number"].groupby(counts):
        place = np.array(sorted(range(1, int(count) + 1), key=str))
        inside = own[(own >= 1) & (own <= count)]
        shot[inside.index] = place[inside.to_numpy(np.int64) - 1]
    return shot


def _greater(first: NDArray[np.float64], second: NDArray[np.float64], chance: np.random.Generator) -> float | None:
    """The p-value of the first mean being greater by chance, by permutation; None where nothing is to be tested."""
    if not len(first) or not len(second):
        return None
    both, measured = np.concatenate([first, second]), first.mean() - second.mean()
    total, count = both.sum(), len(first)
    drawn = np.array([chance.permutation(both)[:count].sum() for _ in range(_PERMUTATIONS)])
    differences = drawn / count - (total - drawn) / len(second)
    return float((1 + np.sum(differences >= measured - 1e-12)) / (1 + _PERMUTATIONS))
