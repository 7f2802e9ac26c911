import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from realwaste.evaluation import classification, prediction_table, scores
from realwaste.models.probabilities import log_loss

CLASSES = ["a", "b", "c"]


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 1.5 * np.eye(3)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_metrics_equal_those_of_scikit_learn(predictions):
    labels, probabilities = predictions
    test_metrics = classification.compute_test_metrics(labels, probabilities, CLASSES, np.arange(200))
    predicted = probabilities.argmax(axis=1)
    assert test_metrics["test_accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert test_metrics["test_loss"] == pytest.approx(metrics.log_loss(labels, probabilities))
    assert test_metrics["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    recall = metrics.recall_score(labels, predicted, average=None)
    assert [test_metrics["per_class"][name]["recall"] for name in CLASSES] == pytest.approx(list(recall))
    assert sum(test_metrics["per_class"][name]["support"] for name in CLASSES) == 200


def test_the_log_loss_of_a_certain_mistake_is_clipped_as_in_keras():
    assert log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(1e-7))


def test_scores_of_a_class_without_predictions_or_images_are_zero():
    class_scores = classification.score_classes(np.array([0, 0, 1]), np.eye(3)[[0, 0, 0]], CLASSES)
    assert class_scores["b"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert class_scores["c"]["support"] == 0


def test_the_prediction_table_contains_probabilities_labels_and_confusions(predictions):
    labels, probabilities = predictions
    splits = pd.DataFrame({"path": [f"{i}" for i in range(200)], "label": np.array(CLASSES)[labels], "split": "test"})
    splits["group"] = range(200)
    table = prediction_table.build_rows(splits, "m", probabilities, CLASSES)
    assert prediction_table.classes_of(table) == CLASSES
    np.testing.assert_array_equal(prediction_table.labels_of(table), labels)
    np.testing.assert_array_equal(prediction_table.probabilities_of(table), probabilities)
    counts = prediction_table.count_confusions(table).pivot(index="actual", columns="predicted", values="images")
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(labels, probabilities.argmax(axis=1)))
    only_a = prediction_table.count_confusions(table[table["label"] == "a"])
    assert len(only_a) == 9
    assert only_a["images"].sum() == (labels == 0).sum()


def test_wilson_intervals_and_mcnemars_test_equal_those_of_scipy():
    """The package computes both with scipy.special, because scipy.stats takes a second to import."""
    for correct, count in [(0, 9), (9, 9), (1, 72), (588, 951), (44, 72)]:
        labels = np.zeros(count, int)
        probabilities = np.eye(2)[np.r_[np.zeros(correct, int), np.ones(count - correct, int)]]
        expected = stats.binomtest(correct, count).proportion_ci(0.95, method="wilson")
        interval = scores.accuracy_interval(labels, probabilities)
        assert interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    for only_first, only_second in [(0, 0), (1, 0), (3, 3), (8, 2), (9, 0), (12, 4), (0, 30), (150, 190)]:
        first_correct = np.r_[np.ones(only_first, bool), np.zeros(only_second, bool)]
        expected = (
            stats.binomtest(only_first, only_first + only_second, 0.5).pvalue if only_first + only_second else 1.0
        )
        both_correct = np.ones(3, bool)
        p_value = scores.mcnemar_test(np.r_[first_correct, both_correct], np.r_[~first_correct, both_correct])
        assert p_value == pytest.approx(expected, rel=1e-9)


def test_macro_f1_of_several_confusion_matrices_equals_that_of_scikit_learn(predictions):
    labels, probabilities = predictions
    predicted = probabilities.argmax(axis=1)
    macro_f1 = scores.macro_f1(np.stack([metrics.confusion_matrix(labels, predicted), np.diag([3, 0, 2])]))
    assert macro_f1 == pytest.approx([metrics.f1_score(labels, predicted, average="macro"), 2 / 3])


def _expand_confusion_matrix(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities whose confusion matrix is `counts`."""
    labels, predicted = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    return labels, np.eye(len(counts))[predicted]


def test_the_f1_interval_equals_the_bca_bootstrap_of_scipy():
    """scipy draws single images, with other random numbers, so the bounds agree only to 0.005."""

    def f1(resamples, axis):
        resamples = np.moveaxis(resamples, axis, -1)
        matrices = [np.bincount(row, minlength=9) for row in resamples.reshape(-1, resamples.shape[-1])]
        return scores.macro_f1(np.reshape(matrices, (*resamples.shape[:-1], 3, 3)))

    small_counts = np.array([[5, 2, 1], [0, 7, 1], [2, 4, 2]])
    for counts in (small_counts, 20 * small_counts):
        labels, probabilities = _expand_confusion_matrix(counts)
        cells = labels * 3 + probabilities.argmax(axis=1)
        rng = np.random.default_rng(1)
        expected = stats.bootstrap((cells,), f1, n_resamples=50_000, batch=1000, method="BCa", rng=rng)
        interval = scores.macro_f1_interval(labels, probabilities, resamples=50_000)
        assert interval == pytest.approx(tuple(expected.confidence_interval), abs=0.005)
        repeated = scores.macro_f1_interval(labels, probabilities, resamples=50_000)
        assert repeated == interval, "equal predictions have equal intervals"


def _measure_miss_rates(accuracy: float, images_per_class: int, sets: int, resamples: int) -> tuple[float, float]:
    """The shares of intervals above and below the true macro F1, that of infinitely many images of nine classes."""
    rng = np.random.default_rng(1)
    confusion_rates = (1 - accuracy) * rng.dirichlet(np.full(9, 0.5), 9) + accuracy * np.eye(9)
    true_f1 = float(scores.macro_f1(np.round(confusion_rates * 1e9).astype(np.int64)))
    intervals = [
        scores.macro_f1_interval(
            *_expand_confusion_matrix(rng.multinomial(images_per_class, confusion_rates)), resamples=resamples
        )
        for _ in range(sets)
    ]
    lows, highs = np.transpose(intervals)
    return float(np.mean(lows > true_f1)), float(np.mean(highs < true_f1))


def test_f1_intervals_of_small_sets_miss_equally_often_on_both_sides():
    """The percentile interval, used before, was below the true F1 in 9 % of the sets and above it in 1 %."""
    above, below = _measure_miss_rates(0.15, images_per_class=8, sets=800, resamples=1000)
    assert above == pytest.approx(0.025, abs=0.025)
    assert below == pytest.approx(0.025, abs=0.025)


@pytest.mark.slow
@pytest.mark.parametrize("images_per_class", [8, 30, 100])
@pytest.mark.parametrize("accuracy", [0.15, 0.45, 0.8, 0.95])
def test_the_f1_interval_has_about_its_nominal_coverage(accuracy, images_per_class):
    """The coverage is higher, 99 %, where at most three of 72 predictions are wrong."""
    above, below = _measure_miss_rates(accuracy, images_per_class, sets=1000, resamples=1000)
    assert max(above, below) < 0.05
    assert 1 - above - below >= 0.92
    assert 1 - above - below <= 0.98 or (accuracy, images_per_class) == (0.95, 8)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([[8, 0], [0, 8]], (0.806, 1.0)),  # all right: Wilson's interval of 16 of 16
        ([[0, 8], [8, 0]], (0.0, 0.194)),  # all wrong
        ([[1, 0], [0, 0]], (0.206, 1.0)),  # one image; the class without one has F1 0
    ],
)
def test_the_f1_interval_is_that_of_the_accuracy_if_all_resamples_are_equal(counts, expected):
    assert scores.macro_f1_interval(*_expand_confusion_matrix(np.array(counts))) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("counts", [[[1, 0], [1, 0]], [[8, 0], [8, 0]], [[7, 1], [0, 8]], [[0, 1], [0, 1]]])
def test_the_f1_interval_of_few_confusion_cells_contains_the_f1(counts):
    low, high = scores.macro_f1_interval(*_expand_confusion_matrix(np.array(counts)))
    assert 0 <= low <= scores.macro_f1(np.array(counts)) <= high <= 1
    assert low < high


def test_holms_correction_equals_values_computed_by_hand():
    # Sorted: 0.01 x 4, 0.015 x 3, 0.03 x 2 and 0.04 x 1, which may not be less than the one before it.
    assert scores.holm_adjust([0.015, 0.04, 0.01, 0.03]) == pytest.approx([0.045, 0.06, 0.04, 0.06])
    assert scores.holm_adjust([0.4, 0.5]) == [0.8, 0.8]
    assert scores.holm_adjust([0.9, 0.6, 0.7]) == [1, 1, 1]
    assert scores.holm_adjust([0.02]) == [0.02]
    assert scores.holm_adjust([]) == []


def test_holms_correction_keeps_the_order_and_controls_the_familywise_error():
    """The p-values of the six pairs of four models, which depend on each other, as in the stage compare."""
    rng = np.random.default_rng(0)
    false_positives = {"unadjusted": 0, "adjusted": 0}
    for _ in range(400):
        # Four models with an accuracy of 0.7 on 200 images.
        correct = rng.random((4, 200)) < 0.7
        p_values = [
            scores.mcnemar_test(correct[first], correct[second])
            for first, second in itertools.combinations(range(4), 2)
        ]
        adjusted = np.array(scores.holm_adjust(p_values))
        assert ((p_values <= adjusted) & (adjusted <= 1)).all()
        assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()
        false_positives["unadjusted"] += min(p_values) < 0.05
        false_positives["adjusted"] += min(adjusted) < 0.05
    assert false_positives["unadjusted"] / 400 > 0.1
    assert false_positives["adjusted"] / 400 <= 0.05


def test_the_interval_of_a_difference_has_its_nominal_coverage():
    """In 2,000 test sets of 100 images, for two models whose accuracies differ by 0.1."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        outcome = rng.choice(4, 100, p=[0.55, 0.2, 0.1, 0.15])  # both right, only the first, only the second, none
        low, high = scores.difference_interval(np.isin(outcome, [0, 1]), np.isin(outcome, [0, 2]))
        covered += low <= 0.1 <= high
    assert 0.935 <= covered / 2000 <= 0.965


def test_the_interval_of_a_difference_equals_values_computed_by_hand():
    # Bonett and Price: (12 + 1) / 102 and (5 + 1) / 102 of 100 images.
    first = np.r_[np.ones(12), np.zeros(5), np.ones(83)].astype(bool)
    second = np.r_[np.zeros(12), np.ones(5), np.ones(83)].astype(bool)
    center = 7 / 102
    half_width = 1.959964 * np.sqrt((19 / 102 - center**2) / 102)
    assert scores.difference_interval(first, second) == pytest.approx(
        (center - half_width, center + half_width), abs=1e-6
    )
    low, high = scores.difference_interval(np.array([True]), np.array([True]))
    assert -1 <= low < 0 < high <= 1


def test_repeats_are_summarized_by_mean_and_standard_deviation(predictions):
    labels, probabilities = predictions
    repeats = [probabilities, probabilities[:, [0, 2, 1]]]
    summary = classification.summarize_repeats(labels, repeats)["repeats"]
    accuracies = [scores.accuracy(labels, repeat_probabilities) for repeat_probabilities in repeats]
    assert summary["runs"] == 2
    assert summary["test_accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert summary["test_accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert classification.summarize_repeats(labels, []) == {}
    assert classification.summarize_repeats(labels, repeats[:1])["repeats"]["test_loss_std"] == 0


def test_mistakes_are_sorted_by_confidence_and_then_by_path():
    splits = pd.DataFrame({"path": list("54321"), "label": list("abcab"), "split": "test", "group": range(5)})
    probabilities = np.array([[0.9, 0.1, 0], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])
    table = prediction_table.build_rows(splits, "cnn", probabilities, CLASSES)
    assert prediction_table.most_confident_mistakes(table, 9).to_dict("list") == {
        "path": ["3", "2", "4"],
        "label": ["c", "a", "b"],
        "predicted": ["b", "c", "a"],
        "probability": [0.8, 0.7, 0.7],
        "label_probability": [0.1, 0.1, 0.2],
    }
    assert prediction_table.most_confident_mistakes(table, 1)["path"].tolist() == ["3"]
    assert prediction_table.most_confident_mistakes(table[table["path"].isin(["5", "1"])], 3).empty
