"""Intervals and tests of photographs that come in groups, on drawn answers whose truth is known."""

import numpy as np
import pytest

from realwaste.evaluation import cluster_bootstrap, differences, intervals, scores

CLASSES = 3
SETS = 2_000
RESAMPLES = 399


def _draw_test_set(
    rng: np.random.Generator, count: int, accuracy: float, correlation: float = 0.3
) -> tuple[np.ndarray, ...]:
    """Labels, the answers of two models that are right equally often, and groups of 3 to 12 photographs of an object.

    Some objects are easy for a model, some are hard: two of its answers on one object correlate by `alike`.
    """
    sizes = rng.integers(3, 13, count)
    groups = np.repeat(np.arange(count), sizes)
    labels = (np.arange(count) % CLASSES)[groups]

    def draw_predictions() -> np.ndarray:
        object_accuracy = rng.beta(accuracy * (1 / correlation - 1), (1 - accuracy) * (1 / correlation - 1), count)[
            groups
        ]
        wrong = (labels + rng.integers(1, CLASSES, len(labels))) % CLASSES
        return np.where(rng.random(len(labels)) < object_accuracy, labels, wrong)

    return labels, draw_predictions(), draw_predictions(), groups


@pytest.mark.parametrize(("count", "accuracy"), [(30, 0.75), pytest.param(80, 0.85, marks=pytest.mark.slow)])
def test_group_intervals_have_their_nominal_coverage(count, accuracy):
    """In 93 to 97 of 100 test sets; those of images for themselves in some 70. And the test gives few false alarms."""
    rng = np.random.default_rng(count)
    coverage = dict.fromkeys(("accuracy", "macro F1", "difference", "images alone"), 0)
    false_positives = 0
    for _ in range(SETS):
        labels, first, second, groups = _draw_test_set(rng, count, accuracy)
        probabilities, correct = np.eye(CLASSES)[first], (first == labels, second == labels)
        # The F1 is that of the accuracy: classes are alike, and mistakes fall on the others evenly.
        intervals_by_metric = {
            "accuracy": (accuracy, cluster_bootstrap.accuracy_interval(correct[0], groups, resamples=RESAMPLES)),
            "macro F1": (
                accuracy,
                cluster_bootstrap.macro_f1_interval(labels, probabilities, groups, resamples=RESAMPLES),
            ),
            "difference": (0.0, cluster_bootstrap.difference_interval(*correct, groups, resamples=RESAMPLES)),
            "images alone": (accuracy, scores.accuracy_interval(labels, probabilities)),
        }
        for name, (truth, (low, high)) in intervals_by_metric.items():
            coverage[name] += low <= truth <= high
        false_positives += cluster_bootstrap.permutation_test(*correct, groups) < 0.05
    rates = {name: count / SETS for name, count in coverage.items()}
    image_coverage = rates.pop("images alone")
    assert all(0.93 <= share <= 0.97 for share in rates.values()), rates
    assert image_coverage < 0.8
    assert 0.035 <= false_positives / SETS <= 0.06


def test_with_an_image_a_group_the_permutation_test_is_mcnemars():
    for first, second in [(0, 0), (1, 0), (3, 3), (12, 4), (0, 30), (150, 190)]:
        right = np.r_[np.ones(first, bool), np.zeros(second, bool), np.ones(5, bool)]
        other = np.r_[~right[: first + second], np.ones(5, bool)]
        groups = np.random.default_rng(0).permutation(len(right))
        assert cluster_bootstrap.permutation_test(right, other, groups) == pytest.approx(
            scores.mcnemar_test(right, other), rel=1e-9
        )


def test_one_object_is_one_case():
    """Forty photographs of each of four objects: of one the second model knows all, of the others both or neither."""
    groups = np.repeat(np.arange(4), 40)
    first, second = groups < 2, groups < 3
    assert scores.mcnemar_test(first, second) < 1e-9
    assert cluster_bootstrap.permutation_test(first, second, groups) == 1.0


def test_intervals_where_the_correlation_within_groups_is_unknown():
    right, groups = np.ones(60, bool), np.repeat(np.arange(5), 12)
    assert cluster_bootstrap.accuracy_interval(right, groups) == scores.wilson_interval(1.0, 5)
    low, high = cluster_bootstrap.difference_interval(right, ~right, groups)
    assert low < 1 <= high


def test_the_wider_interval_is_reported_first():
    record = intervals.combine_intervals("f", 0.3, (0.2, 0.4), (0.1, 0.5))
    assert (record["f_low"], record["f_high"], record["f_by"]) == (0.1, 0.5, "groups")
    assert intervals.combine_intervals("f", 0.3, (0.1, 0.5), (0.2, 0.4))["f_by"] == "images"
    assert record["f_intervals"]["images"] == {"low": 0.2, "high": 0.4}


def test_too_few_groups_have_the_interval_of_images_and_no_verdict():
    groups, first = np.repeat(np.arange(6), 12), np.arange(72) % 12 < 9
    second = first & (groups > 1)
    accuracy = intervals.accuracy_with_intervals(np.zeros(72, int), np.eye(2)[1 - first.astype(int)], groups)
    low, high = scores.wilson_interval(0.75, 72)
    assert (accuracy["accuracy_low"], accuracy["accuracy_high"], accuracy["accuracy_by"]) == (low, high, "images")
    (pair,) = differences.compare_accuracies({"pair": (first, second)}, groups).values()
    assert pair["mcnemar_p"] < 0.001
    assert pair["permutation_p"] > 0.05
    assert (pair["difference_low"], pair["difference_high"]) == scores.difference_interval(first, second)
    assert differences.describe_verdict(pair, "cnn", "irv2") == "too few different objects to tell"
    (equal,) = differences.compare_accuracies({"pair": (first, first)}, np.arange(72)).values()
    assert differences.describe_verdict(equal, "cnn", "irv2") == "no difference shown"


def test_groups_of_one_image_have_about_the_interval_of_images():
    labels, predicted, _, _ = _draw_test_set(np.random.default_rng(0), 60, 0.8)
    groups, probabilities = np.arange(len(labels)), np.eye(CLASSES)[predicted]
    interval = cluster_bootstrap.accuracy_interval(predicted == labels, groups)
    assert interval == pytest.approx(scores.accuracy_interval(labels, probabilities), abs=0.01)
    assert cluster_bootstrap.macro_f1_interval(labels, probabilities, groups) == pytest.approx(
        scores.macro_f1_interval(labels, probabilities), abs=0.01
    )
