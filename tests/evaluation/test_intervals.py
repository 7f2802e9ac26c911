"""Every interval contains its estimate, and test sets of few images a class have intervals as wide as they must be."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realwaste.evaluation import classification, cluster_bootstrap, differences, learning_curve, scores

METRICS = ("test_accuracy", "macro_f1")


def _one_error(classes: int, images_per_class: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(classes), images_per_class)
    predicted = labels.copy()
    predicted[0] = 1
    return labels, predicted


@pytest.mark.parametrize(("classes", "images_per_class"), [(9, 1), (20, 2)])
@pytest.mark.parametrize("photographs_of_an_object", [1, 2])
def test_one_error_on_few_images_a_class(classes, images_per_class, photographs_of_an_object):
    """With 0 for classes that a resample lacks, the interval of the first case was (0.889, 0.889); the F1 is 0.852."""
    labels, predicted = _one_error(classes, images_per_class)
    groups = np.arange(len(labels)) // photographs_of_an_object
    metrics = classification.compute_test_metrics(
        labels, np.eye(classes)[predicted], [f"{n}" for n in range(classes)], groups
    )
    for interval in metrics["macro_f1_intervals"].values():
        assert interval["low"] < metrics["macro_f1"] - 0.02
        assert interval["high"] > 0.99


@st.composite
def small_test_sets(draw):
    """Class numbers, those that two models answer, groups and the number of classes, as small and odd as can be."""
    classes, images = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    numbers = st.lists(st.integers(0, classes - 1), min_size=images, max_size=images).map(np.array)
    groups = st.lists(st.integers(0, images - 1), min_size=images, max_size=images).map(np.array)
    return draw(numbers), draw(numbers), draw(numbers), draw(groups), classes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small_test_sets())
def test_an_interval_contains_its_estimate(test_set):
    labels, first, second, groups, classes = test_set
    metrics = classification.compute_test_metrics(
        labels, np.eye(classes)[first], [f"{n}" for n in range(classes)], groups
    )
    comparison = differences.compare_accuracies({"pair": (first == labels, second == labels)}, groups)["pair"]
    for record, metric in [*((metrics, metric) for metric in METRICS), (comparison, "difference")]:
        estimate = record.get(metric)
        assert record[f"{metric}_low"] <= estimate <= record[f"{metric}_high"]
        for interval in record[f"{metric}_intervals"].values():
            assert interval["low"] <= estimate <= interval["high"]
            assert -1 <= interval["low"] <= interval["high"] <= 1


@settings(max_examples=300, deadline=None, derandomize=True)
@given(small_test_sets())
def test_each_function_gives_an_interval_that_contains_its_estimate(test_set):
    labels, first, second, groups, classes = test_set
    first_correct, second_correct, probabilities = first == labels, second == labels, np.eye(classes)[first]
    accuracy, difference = first_correct.mean(), first_correct.mean() - second_correct.mean()
    macro_f1 = scores.macro_f1(scores.confusion_matrix(labels, probabilities))
    cases = [
        (accuracy, scores.accuracy_interval(labels, probabilities)),
        (macro_f1, scores.macro_f1_interval(labels, probabilities, resamples=99)),
        (difference, scores.difference_interval(first_correct, second_correct)),
    ]
    if len(set(groups)) > 1:
        cases += [
            (accuracy, cluster_bootstrap.accuracy_interval(first_correct, groups, resamples=99)),
            (macro_f1, cluster_bootstrap.macro_f1_interval(labels, probabilities, groups, resamples=99)),
            (difference, cluster_bootstrap.difference_interval(first_correct, second_correct, groups, resamples=99)),
        ]
    for estimate, (low, high) in cases:
        assert low <= estimate + 1e-12
        assert high >= estimate - 1e-12


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small_test_sets())
def test_a_learning_curves_interval_contains_its_accuracy(test_set):
    labels, first, second, groups, classes = test_set
    correct = iter([first == labels, second == labels] * 2)
    trained = np.arange(2 * classes) % classes
    curve = learning_curve.measure_learning_curve(
        lambda *_: next(correct), trained, groups, [50, 100], repeats=2, seed=0
    )
    for point in (curve["at_50"], curve["at_100"]):
        assert point["accuracy_low"] <= point["accuracy"] <= point["accuracy_high"]


def _coverage(classes: int, images_per_class: int, accuracy: float, sets: int, resamples: int) -> dict[str, float]:
    """How often the intervals of images and of groups hold the true macro F1, mistakes falling on all classes evenly.

    Its truth is that of endless images: the accuracy.
    """
    chance = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), images_per_class)
    covered = dict.fromkeys(("images", "groups"), 0)
    for _ in range(sets):
        wrong = (labels + chance.integers(1, classes, len(labels))) % classes
        probabilities = np.eye(classes)[np.where(chance.random(len(labels)) < accuracy, labels, wrong)]
        for unit, (low, high) in {
            "images": scores.macro_f1_interval(labels, probabilities, resamples=resamples),
            "groups": cluster_bootstrap.macro_f1_interval(
                labels, probabilities, np.arange(len(labels)), resamples=resamples
            ),
        }.items():
            covered[unit] += low <= accuracy <= high
    return {unit: count / sets for unit, count in covered.items()}


@pytest.mark.parametrize(
    ("classes", "images_per_class", "accuracy", "min_coverage"),
    [(9, 1, 8 / 9, 0.95), (20, 2, 39 / 40, 0.95), (20, 2, 0.8, 0.88), (100, 5, 0.8, 0.92)],
)
def test_intervals_of_few_images_a_class_hold_the_truth(classes, images_per_class, accuracy, min_coverage):
    """With 0 for classes that a resample lacks: 65, 97 and 65 of 100, of which many excluded their estimate.

    BCa's correction of the bias alone: 88 of 100 at 100 classes, whose resamples lie below the estimate.
    """
    coverage = _coverage(classes, images_per_class, accuracy, sets=200 if classes < 100 else 80, resamples=399)
    assert min(coverage.values()) >= min_coverage, coverage


def test_the_memory_of_an_interval_grows_with_images_and_classes_alone():
    """The square of the confusion matrix, of a row an image and a column a cell, took 60 GB at 300 classes."""
    chance = np.random.default_rng(0)
    labels = np.arange(1200) % 300
    predicted = np.where(chance.random(1200) < 0.8, labels, chance.integers(0, 300, 1200))
    groups = chance.integers(0, 400, 1200)
    probabilities = np.eye(300, dtype=np.float32)[predicted]
    tracemalloc.start()
    for low, high in (
        scores.macro_f1_interval(labels, probabilities, resamples=500),
        cluster_bootstrap.macro_f1_interval(labels, probabilities, groups, resamples=500),
    ):
        assert 0.7 < low < high < 0.9
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
