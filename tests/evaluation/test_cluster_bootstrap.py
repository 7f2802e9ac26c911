"""Intervals and tests for photographs in groups, on simulated predictions whose true accuracy is known."""

import numpy as np
import pytest

from realwaste.evaluation import cluster_bootstrap, differences, intervals, scores

CLASSES = 3
TEST_SETS = 2_000
RESAMPLES = 399


def _draw_test_set(
    rng: np.random.Generator, count: int, accuracy: float, correlation: float = 0.3
) -> tuple[np.ndarray, ...]:
    """Labels, the predictions of two equally accurate models, and groups: objects with 3 to 12 photographs each.

    Some objects are easy and some are hard: `correlation` is that of a model's predictions for one object.
    """
    sizes = rng.integers(3, 13, count)
    groups = np.repeat(np.arange(count), sizes)
    labels = (np.arange(count) % CLASSES)[groups]

    def draw_predictions() -> np.ndarray:
        concentration = 1 / correlation - 1
        object_accuracy = rng.beta(accuracy * concentration, (1 - accuracy) * concentration, count)
        wrong_labels = (labels + rng.integers(1, CLASSES, len(labels))) % CLASSES
        return np.where(rng.random(len(labels)) < object_accuracy[groups], labels, wrong_labels)

    return labels, draw_predictions(), draw_predictions(), groups


@pytest.mark.parametrize(("count", "accuracy"), [(30, 0.75), pytest.param(80, 0.85, marks=pytest.mark.slow)])
def test_group_intervals_have_their_nominal_coverage(count, accuracy):
    """Intervals of groups cover the truth in 93 to 97 % of the test sets, those of single images in about 70 %."""
    rng = np.random.default_rng(count)
    coverage = dict.fromkeys(("accuracy", "macro F1", "difference", "images alone"), 0)
    false_positives = 0
    for _ in range(TEST_SETS):
        labels, first_predicted, second_predicted, groups = _draw_test_set(rng, count, accuracy)
        probabilities, correct = (
            np.eye(CLASSES)[first_predicted],
            (first_predicted == labels, second_predicted == labels),
        )
        intervals_by_metric = {
            "accuracy": cluster_bootstrap.accuracy_interval(correct[0], groups, resamples=RESAMPLES),
            "macro F1": cluster_bootstrap.macro_f1_interval(labels, probabilities, groups, resamples=RESAMPLES),
            "difference": cluster_bootstrap.difference_interval(*correct, groups, resamples=RESAMPLES),
            "images alone": scores.accuracy_interval(labels, probabilities),
        }
        for name, (low, high) in intervals_by_metric.items():
            # The true macro F1 equals the accuracy: the classes are equal, and mistakes are spread evenly over them.
            coverage[name] += low <= (0 if name == "difference" else accuracy) <= high
        false_positives += cluster_bootstrap.permutation_test(*correct, groups) < 0.05
    rates = {name: count / TEST_SETS for name, count in coverage.items()}
    image_coverage = rates.pop("images alone")
    assert all(0.93 <= rate <= 0.97 for rate in rates.values()), rates
    assert image_coverage < 0.8
    assert 0.035 <= false_positives / TEST_SETS <= 0.06


def test_with_one_image_per_group_the_permutation_test_equals_mcnemars_test():
    for only_first, only_second in [(0, 0), (1, 0), (3, 3), (12, 4), (0, 30), (150, 190)]:
        first_correct = np.r_[np.ones(only_first, bool), np.zeros(only_second, bool), np.ones(5, bool)]
        second_correct = np.r_[~first_correct[: only_first + only_second], np.ones(5, bool)]
        groups = np.random.default_rng(0).permutation(len(first_correct))
        assert cluster_bootstrap.permutation_test(first_correct, second_correct, groups) == pytest.approx(
            scores.mcnemar_test(first_correct, second_correct), rel=1e-9
        )


def test_the_permutation_test_counts_each_group_once():
    """Four objects with 40 photographs each: the second model is right on one more; on three they are equal."""
    groups = np.repeat(np.arange(4), 40)
    first_correct, second_correct = groups < 2, groups < 3
    assert scores.mcnemar_test(first_correct, second_correct) < 1e-9
    assert cluster_bootstrap.permutation_test(first_correct, second_correct, groups) == 1.0


def test_intervals_where_the_correlation_within_groups_is_unknown():
    correct, groups = np.ones(60, bool), np.repeat(np.arange(5), 12)
    assert cluster_bootstrap.accuracy_interval(correct, groups) == scores.wilson_interval(1.0, 5)
    low, high = cluster_bootstrap.difference_interval(correct, ~correct, groups)
    assert low < 1 <= high


def test_the_wider_interval_of_images_and_groups_is_reported():
    record = intervals.combine_intervals("f", 0.3, (0.2, 0.4), (0.1, 0.5))
    assert (record["f_low"], record["f_high"], record["f_by"]) == (0.1, 0.5, "groups")
    assert intervals.combine_intervals("f", 0.3, (0.1, 0.5), (0.2, 0.4))["f_by"] == "images"
    assert record["f_intervals"]["images"] == {"low": 0.2, "high": 0.4}


def test_with_too_few_groups_the_interval_of_images_is_reported_without_a_verdict():
    groups, first_correct = np.repeat(np.arange(6), 12), np.arange(72) % 12 < 9
    second_correct = first_correct & (groups > 1)
    accuracy = intervals.accuracy_with_intervals(np.zeros(72, int), np.eye(2)[1 - first_correct.astype(int)], groups)
    low, high = scores.wilson_interval(0.75, 72)
    assert (accuracy["accuracy_low"], accuracy["accuracy_high"], accuracy["accuracy_by"]) == (low, high, "images")
    (pair,) = differences.compare_accuracies({"pair": (first_correct, second_correct)}, groups).values()
    assert pair["mcnemar_p"] < 0.001
    assert pair["permutation_p"] > 0.05
    assert (pair["difference_low"], pair["difference_high"]) == scores.difference_interval(
        first_correct, second_correct
    )
    assert differences.describe_verdict(pair, "cnn", "irv2") == "too few different objects to tell"
    (equal,) = differences.compare_accuracies({"pair": (first_correct, first_correct)}, np.arange(72)).values()
    assert differences.describe_verdict(equal, "cnn", "irv2") == "no difference shown"


def test_intervals_of_groups_of_one_image_are_about_those_of_images():
    labels, predicted, _, _ = _draw_test_set(np.random.default_rng(0), 60, 0.8)
    groups, probabilities = np.arange(len(labels)), np.eye(CLASSES)[predicted]
    interval = cluster_bootstrap.accuracy_interval(predicted == labels, groups)
    assert interval == pytest.approx(scores.accuracy_interval(labels, probabilities), abs=0.01)
    assert cluster_bootstrap.macro_f1_interval(labels, probabilities, groups) == pytest.approx(
        scores.macro_f1_interval(labels, probabilities), abs=0.01
    )
