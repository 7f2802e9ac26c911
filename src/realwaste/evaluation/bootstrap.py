"""Confidence intervals by drawing the test images again (Efron, 1987)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtr, ndtri, stdtrit

Totals = NDArray[np.floating]
_AT_ONCE = 2**22  # numbers that are drawn at a time
_FAR = (
    0.8  # share of the resamples on one side of the estimate, from which on BCa's correction of the bias is too large
)


def bca_interval(
    units: NDArray[np.number],
    statistic: Callable[[Totals], Totals],
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    expanded: bool = False,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """The 95 % interval of a statistic, by the bias-corrected and accelerated bootstrap (BCa).

    Args:
        units: (n, m), what each unit that is drawn adds to the totals, a row an image or a group of images. Not all
            alike: then there is nothing to be drawn.
        statistic: of totals (…, m), the values (…); limits: the least and the greatest that it can be.
        expanded: Student's t with n - 1 degrees of freedom in place of the normal distribution, and sqrt(n / (n - 1)):
            the bootstrap's intervals are too narrow by that (Hesterberg, 2015, section 3.3), which shows where
            units are few.
    """
    kinds, times = np.unique(units, axis=0, return_counts=True)
    return bca_interval_of_counts(
        kinds.astype(float), times, statistic, limits=limits, expanded=expanded, resamples=resamples
    )


def bca_interval_of_counts(
    kinds: Totals | csr_array,
    times: NDArray[np.integer],
    statistic: Callable[[Totals], Totals],
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    expanded: bool = False,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """`bca_interval` of units that are counted: `times` (k,), how many units are as each row of `kinds` (k, m).

    Memory grows with the entries of `kinds` that are not 0. The interval contains the statistic of the units. Where the
    resamples are biased by about their spread or more, it is the percentile interval, moved by their mean bias.
    """
    # By hand: scipy.stats.bootstrap draws indices, and for its jackknife n - 1 of them n times: 5 s at 20,000 images.
    count, totals, chance = int(times.sum()), times @ kinds, np.random.default_rng(0)
    measured, at_once = float(statistic(totals)), max(1, _AT_ONCE // max(kinds.shape))
    resampled = np.concatenate(
        [
            statistic(chance.multinomial(count, times / count, min(at_once, resamples - start)) @ kinds)
            for start in range(0, resamples, at_once)
        ]
    )
    # Ties, which are many on a small set, count half; with no resample on one side the correction would be infinite.
    below = np.mean([resampled < measured - 1e-12, resampled < measured + 1e-12])
    bias = ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples))
    ends = np.array([0.025, 0.975])
    normal = bias + (stdtrit(count - 1, ends) * np.sqrt(count / (count - 1)) if expanded else ndtri(ends))
    parts = (kinds[start : start + at_once] for start in range(0, kinds.shape[0], at_once))
    left_out = [statistic(totals - (part if isinstance(part, np.ndarray) else part.toarray())) for part in parts]
    skewed = _acceleration(np.concatenate(left_out), times)
    # Never below 0: beyond that point an end would come back from the other side.
    corrected = bias + normal / np.maximum(1 - skewed * normal, 1e-12)
    low, high = np.quantile(resampled, ndtr(corrected))
    if abs(bias) > ndtri(_FAR):
        low, high = np.clip(np.quantile(resampled, ndtr(normal - bias)) + measured - resampled.mean(), *limits)
    return min(float(low), measured), max(float(high), measured)


def _acceleration(left_out: Totals, times: NDArray[np.integer]) -> float:
    """A sixth of the skewness of the statistic's changes as single units are left out."""
    change = np.average(left_out, weights=times) - left_out
    spread = float((times * change**2).sum())
    return float((times * change**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
