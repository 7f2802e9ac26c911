"""Which of two models is better on the same images: the difference in accuracy, exact tests, and what they show."""

from collections.abc import Mapping
from typing import Any

from realwaste.evaluation import cluster_bootstrap, intervals, scores
from realwaste.evaluation.cluster_bootstrap import Correct, Groups

SIGNIFICANCE_LEVEL = 0.05


def compare_accuracies(answers: Mapping[str, tuple[Correct, Correct]], groups: Groups) -> dict[str, dict[str, Any]]:
    """The difference in accuracy of each two models on the same images, first less second, with interval and p-values.

    `p_holm` is the larger of the p-values of two tests, of images for themselves and of groups of them as one, after
    Holm's correction for the number of comparisons.

    Args:
        answers: for each comparison, which images (n,) the first and the second answered rightly.
        groups: of the images.
    """
    p_values = {
        name: {
            "mcnemar_p": scores.mcnemar_test(first, second),
            "permutation_p": cluster_bootstrap.permutation_test(first, second, groups),
        }
        for name, (first, second) in answers.items()
    }
    adjusted = scores.holm_adjust([max(found.values()) for found in p_values.values()])
    return {
        name: {
            "difference": float(first.mean() - second.mean()),
            **intervals.combine_intervals(
                "difference",
                float(first.mean() - second.mean()),
                scores.difference_interval(first, second),
                cluster_bootstrap.difference_interval(first, second, groups),
            ),
            **p_values[name],
            "p_holm": p_holm,
        }
        for (name, (first, second)), p_holm in zip(answers.items(), adjusted, strict=True)
    }


def find_better(facts: Mapping[str, Any], first: str, second: str) -> str | None:
    """Which of two, by their names, a row of `compare_accuracies` shows to be better; None where it shows no difference."""
    if facts["p_holm"] >= SIGNIFICANCE_LEVEL:
        return None
    return first if facts["difference"] > 0 else second


def describe_verdict(winner: str | None) -> str:
    """`find_better` in words."""
    return "no difference shown" if winner is None else f"{winner} is better"
