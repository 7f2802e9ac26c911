"""Two 95 % intervals of each metric, by single images and by near-duplicate groups; the wider one is reported first.

With fewer than cluster_bootstrap.MIN_GROUPS groups, there is only the interval by images.
"""

import math
from collections.abc import Mapping
from typing import Any

from realwaste.evaluation import cluster_bootstrap, scores
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.models.probabilities import Labels, Probabilities

Interval = tuple[float, float]


def combine_intervals(metric: str, estimate: float, by_images: Interval, by_groups: Interval | None) -> dict[str, Any]:
    """For metrics: the ends of the wider interval, its unit and both intervals, each widened to contain the estimate.

    The names are <metric>_low, <metric>_high, <metric>_by ("images" or "groups") and <metric>_intervals.
    `by_groups` is None if there are too few groups.
    """
    units = {"images": by_images} if by_groups is None else {"images": by_images, "groups": by_groups}
    intervals = {name: (min(low, estimate), max(high, estimate)) for name, (low, high) in units.items()}
    widest = max(intervals, key=lambda name: intervals[name][1] - intervals[name][0])
    return {
        f"{metric}_low": intervals[widest][0],
        f"{metric}_high": intervals[widest][1],
        f"{metric}_by": widest,
        f"{metric}_intervals": {name: {"low": low, "high": high} for name, (low, high) in intervals.items()},
    }


def accuracy_with_intervals(
    labels: Labels, probabilities: Probabilities, groups: Groups, metric: str = "accuracy"
) -> dict[str, Any]:
    """The accuracy under the name `metric`, with its intervals under the names of `combine_intervals`."""
    accuracy, by_images = scores.accuracy(labels, probabilities), scores.accuracy_interval(labels, probabilities)
    correct = probabilities.argmax(axis=1) == labels
    by_groups = cluster_bootstrap.accuracy_interval(correct, groups) if cluster_bootstrap.are_enough(groups) else None
    return {metric: accuracy} | combine_intervals(metric, accuracy, by_images, by_groups)


def macro_f1_with_intervals(labels: Labels, probabilities: Probabilities, groups: Groups) -> dict[str, Any]:
    """`macro_f1`, with its intervals under the names of `combine_intervals`."""
    macro_f1 = float(scores.macro_f1(scores.confusion_matrix(labels, probabilities)))
    by_images, by_groups = scores.macro_f1_interval(labels, probabilities), None
    if cluster_bootstrap.are_enough(groups):
        by_groups = cluster_bootstrap.macro_f1_interval(labels, probabilities, groups)
    return {"macro_f1": macro_f1} | combine_intervals("macro_f1", macro_f1, by_images, by_groups)


def accuracy_change(in_domain: Mapping[str, Any], external: Mapping[str, Any]) -> dict[str, float]:
    """The difference of two accuracies on different images, external minus in-domain, with its 95 % interval.

    The interval is computed from those of the two accuracies (MOVER, Newcombe 1998). Empty if one has no images.
    """
    if not (in_domain["images"] and external["images"]):
        return {}
    difference = external["accuracy"] - in_domain["accuracy"]
    (external_below, external_above), (in_domain_below, in_domain_above) = (
        (metrics["accuracy"] - metrics["accuracy_low"], metrics["accuracy_high"] - metrics["accuracy"])
        for metrics in (external, in_domain)
    )
    return {
        "difference": difference,
        "difference_low": difference - math.hypot(external_below, in_domain_above),
        "difference_high": difference + math.hypot(external_above, in_domain_below),
    }
