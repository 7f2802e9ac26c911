"""Paired comparison of two models on the same images: difference in accuracy, exact tests, and the verdict."""

from collections.abc import Mapping
from typing import Any

from realwaste.evaluation import cluster_bootstrap, intervals, scores
from realwaste.evaluation.cluster_bootstrap import Correct, Groups

SIGNIFICANCE_LEVEL = 0.05
TOO_FEW_GROUPS = "too few different objects to tell"


def compare_accuracies(
    correct_by_pair: Mapping[str, tuple[Correct, Correct]], groups: Groups
) -> dict[str, dict[str, Any]]:
    """For each pair of models: the difference in accuracy (first minus second) with its interval and p-values.

    `p_holm` is the larger p-value of two tests (of single images and of groups), after Holm's correction for the number
    of pairs.

    Args:
        correct_by_pair: for each pair, whether the first and the second model are correct on each image (n,).
        groups: (n,), the near-duplicate group of each image.
    """
    comparisons = {name: _compare_pair(*correct, groups) for name, correct in correct_by_pair.items()}
    p_values = [max(record["mcnemar_p"], record["permutation_p"]) for record in comparisons.values()]
    for record, p_holm in zip(comparisons.values(), scores.holm_adjust(p_values), strict=True):
        record["p_holm"] = p_holm
    return comparisons


def _compare_pair(first: Correct, second: Correct, groups: Groups) -> dict[str, Any]:
    difference, by_groups = float(first.mean() - second.mean()), None
    if cluster_bootstrap.are_enough(groups):
        by_groups = cluster_bootstrap.difference_interval(first, second, groups)
    by_images = scores.difference_interval(first, second)
    return {
        "difference": difference,
        **intervals.combine_intervals("difference", difference, by_images, by_groups),
        "mcnemar_p": scores.mcnemar_test(first, second),
        "permutation_p": cluster_bootstrap.permutation_test(first, second, groups),
    }


def find_better(comparison: Mapping[str, Any], first: str, second: str) -> str | None:
    """The better of two models by a record of `compare_accuracies`; None if it shows no difference."""
    if comparison["p_holm"] >= SIGNIFICANCE_LEVEL:
        return None
    return first if comparison["difference"] > 0 else second


def describe_verdict(comparison: Mapping[str, Any], first: str, second: str) -> str:
    """The result of `find_better` in words; without a winner, whether there are enough groups to show a difference."""
    winner = find_better(comparison, first, second)
    if winner is not None:
        return f"{winner} is better"
    return "no difference shown" if "groups" in comparison["difference_intervals"] else TOO_FEW_GROUPS
