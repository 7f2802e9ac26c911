"""Two 95 % intervals of each figure, images for themselves and groups of images as one; the wider of them leads."""

import math
from collections.abc import Mapping
from typing import Any

from realwaste.evaluation import cluster_bootstrap, scores
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.models.probabilities import Labels, Probabilities

Interval = tuple[float, float]


def combine_intervals(figure: str, estimate: float, images: Interval, groups: Interval) -> dict[str, Any]:
    """For metrics: <figure>_low and _high, of the wider; <figure>_by, which that is; <figure>_intervals, the two.

    Each contains the estimate, to the last digit.
    """
    known = {
        name: (min(low, estimate), max(high, estimate))
        for name, (low, high) in (("images", images), ("groups", groups))
    }
    by = max(known, key=lambda name: known[name][1] - known[name][0])
    return {
        f"{figure}_low": known[by][0],
        f"{figure}_high": known[by][1],
        f"{figure}_by": by,
        f"{figure}_intervals": {name: {"low": low, "high": high} for name, (low, high) in known.items()},
    }


def accuracy_with_intervals(labels: Labels, probabilities: Probabilities, groups: Groups) -> dict[str, Any]:
    """accuracy and its intervals, as `combine_intervals` names them."""
    accuracy, by_images = scores.accuracy(labels, probabilities), scores.accuracy_interval(labels, probabilities)
    by_groups = cluster_bootstrap.accuracy_interval(probabilities.argmax(axis=1) == labels, groups)
    return {"accuracy": accuracy} | combine_intervals("accuracy", accuracy, by_images, by_groups)


def test_metric_intervals(
    labels: Labels, probabilities: Probabilities, groups: Groups, macro_f1: float
) -> dict[str, Any]:
    """Of the test accuracy and the macro F1, with the number of groups that the test images fall into."""
    right = probabilities.argmax(axis=1) == labels
    estimates = scores.accuracy(labels, probabilities), macro_f1
    by_images = scores.accuracy_interval(labels, probabilities), scores.macro_f1_interval(labels, probabilities)
    by_groups = (
        cluster_bootstrap.accuracy_interval(right, groups),
        cluster_bootstrap.macro_f1_interval(labels, probabilities, groups),
    )
    figures = zip(("test_accuracy", "macro_f1"), estimates, by_images, by_groups, strict=True)
    told = {"test_groups": len(set(groups.tolist()))}
    for figure, estimate, images, grouped in figures:
        told |= combine_intervals(figure, estimate, images, grouped)
    return told


def accuracy_change(home: Mapping[str, Any], outside: Mapping[str, Any]) -> dict[str, float]:
    """The difference of two accuracies on different images, outside less home, and its 95 % interval (Newcombe 1998).

    From the intervals of the two, whatever they were made by (MOVER). Empty where one of them has no images.
    """
    if not (home["images"] and outside["images"]):
        return {}
    difference = outside["accuracy"] - home["accuracy"]
    down = outside["accuracy"] - outside["accuracy_low"], home["accuracy_high"] - home["accuracy"]
    up = outside["accuracy_high"] - outside["accuracy"], home["accuracy"] - home["accuracy_low"]
    return {
        "difference": difference,
        "difference_low": difference - math.hypot(*down),
        "difference_high": difference + math.hypot(*up),
    }
