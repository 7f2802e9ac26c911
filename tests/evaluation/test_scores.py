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


def test_agrees_with_scikit_learn(predictions):
    labels, probabilities = predictions
    found_metrics = classification.compute_test_metrics(labels, probabilities, CLASSES, np.arange(200))
    predicted = probabilities.argmax(axis=1)
    assert found_metrics["test_accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found_metrics["test_loss"] == pytest.approx(metrics.log_loss(labels, probabilities))
    assert found_metrics["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    recall = metrics.recall_score(labels, predicted, average=None)
    assert [found_metrics["per_class"][name]["recall"] for name in CLASSES] == pytest.approx(list(recall))
    assert sum(found_metrics["per_class"][name]["support"] for name in CLASSES) == 200


def test_a_certain_mistake_costs_what_keras_charges():
    assert log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(1e-7))


def test_a_class_never_predicted_or_never_there_scores_zero():
    class_scores = classification.score_classes(np.array([0, 0, 1]), np.eye(3)[[0, 0, 0]], CLASSES)
    assert class_scores["b"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert class_scores["c"]["support"] == 0


def test_predictions_hold_probabilities_labels_and_every_confusion(predictions):
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


def test_intervals_and_tests_are_scipys():
    """scipy.stats takes a second to import; the package computes both from scipy.special."""
    for correct, count in [(0, 9), (9, 9), (1, 72), (588, 951), (44, 72)]:
        labels = np.zeros(count, int)
        probabilities = np.eye(2)[np.r_[np.zeros(correct, int), np.ones(count - correct, int)]]
        expected = stats.binomtest(correct, count).proportion_ci(0.95, method="wilson")
        interval = scores.accuracy_interval(labels, probabilities)
        assert interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    for first, second in [(0, 0), (1, 0), (3, 3), (8, 2), (9, 0), (12, 4), (0, 30), (150, 190)]:
        right = np.r_[np.ones(first, bool), np.zeros(second, bool)]
        expected = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
        both = np.ones(3, bool)
        assert scores.mcnemar_test(np.r_[right, both], np.r_[~right, both]) == pytest.approx(expected, rel=1e-9)


def test_macro_f1_of_many_matrices_is_scikit_learns(predictions):
    labels, probabilities = predictions
    predicted = probabilities.argmax(axis=1)
    scores_found = scores.macro_f1(np.stack([metrics.confusion_matrix(labels, predicted), np.diag([3, 0, 2])]))
    assert scores_found == pytest.approx([metrics.f1_score(labels, predicted, average="macro"), 2 / 3])


def _test_set_of(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities whose confusion matrix is `counts`."""
    labels, chosen = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    return labels, np.eye(len(counts))[chosen]


def test_the_f1_interval_is_that_of_drawing_images():
    """Against scipy's, which draws images one by one: other random numbers, so the ends agree to 0.005."""

    def f1(resamples, axis):
        resamples = np.moveaxis(resamples, axis, -1)
        matrices = [np.bincount(row, minlength=9) for row in resamples.reshape(-1, resamples.shape[-1])]
        return scores.macro_f1(np.reshape(matrices, (*resamples.shape[:-1], 3, 3)))

    small = np.array([[5, 2, 1], [0, 7, 1], [2, 4, 2]])
    for counts in (small, 20 * small):
        labels, probabilities = _test_set_of(counts)
        cells = labels * 3 + probabilities.argmax(axis=1)
        chance = np.random.default_rng(1)
        expected = stats.bootstrap((cells,), f1, n_resamples=50_000, batch=1000, method="BCa", rng=chance)
        interval = scores.macro_f1_interval(labels, probabilities, resamples=50_000)
        assert interval == pytest.approx(tuple(expected.confidence_interval), abs=0.005)
        again = scores.macro_f1_interval(labels, probabilities, resamples=50_000)
        assert again == interval, "the same answers, the same interval"


def _misses(accuracy: float, images_per_class: int, sets: int, resamples: int) -> tuple[float, float]:
    """How often the interval lies above and below the F1 of endless images, for test sets of nine classes."""
    rng = np.random.default_rng(1)
    confusion_rates = (1 - accuracy) * rng.dirichlet(np.full(9, 0.5), 9) + accuracy * np.eye(9)
    true = float(scores.macro_f1(np.round(confusion_rates * 1e9).astype(np.int64)))
    intervals = [
        scores.macro_f1_interval(*_test_set_of(rng.multinomial(images_per_class, confusion_rates)), resamples=resamples)
        for _ in range(sets)
    ]
    return float(np.mean([low > true for low, _ in intervals])), float(np.mean([high < true for _, high in intervals]))


def test_the_f1_interval_of_a_small_set_misses_on_both_sides_alike():
    """The percentile interval, which this was, lay below the true F1 nine times in a hundred, and above it once."""
    above, below = _misses(0.15, images_per_class=8, sets=800, resamples=1000)
    assert above == pytest.approx(0.025, abs=0.025)
    assert below == pytest.approx(0.025, abs=0.025)


@pytest.mark.slow
@pytest.mark.parametrize("images_per_class", [8, 30, 100])
@pytest.mark.parametrize("accuracy", [0.15, 0.45, 0.8, 0.95])
def test_the_f1_interval_holds_it_about_as_often_as_it_says(accuracy, images_per_class):
    """Oftener, 99 times in a hundred, where no more than three of 72 answers are wrong."""
    above, below = _misses(accuracy, images_per_class, sets=1000, resamples=1000)
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
def test_where_no_resample_can_differ_the_accuracys_interval_stands_in(counts, expected):
    assert scores.macro_f1_interval(*_test_set_of(np.array(counts))) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("counts", [[[1, 0], [1, 0]], [[8, 0], [8, 0]], [[7, 1], [0, 8]], [[0, 1], [0, 1]]])
def test_an_interval_of_few_cells_holds_the_f1(counts):
    low, high = scores.macro_f1_interval(*_test_set_of(np.array(counts)))
    assert 0 <= low <= scores.macro_f1(np.array(counts)) <= high <= 1
    assert low < high


def test_holms_correction_by_hand():
    # Sorted: 0.01 x 4, 0.015 x 3, 0.03 x 2 and 0.04 x 1, which may not be less than the one before it.
    assert scores.holm_adjust([0.015, 0.04, 0.01, 0.03]) == pytest.approx([0.045, 0.06, 0.04, 0.06])
    assert scores.holm_adjust([0.4, 0.5]) == [0.8, 0.8]
    assert scores.holm_adjust([0.9, 0.6, 0.7]) == [1, 1, 1]
    assert scores.holm_adjust([0.02]) == [0.02]
    assert scores.holm_adjust([]) == []


def test_holms_correction_keeps_the_order_and_lets_through_one_false_alarm_in_twenty_families():
    """Six pairs of four models, as compare tests them: p-values that depend on each other."""
    rng = np.random.default_rng(0)
    false_positives = {"alone": 0, "adjusted": 0}
    for _ in range(400):
        # Four models that are equally good, each right in 0.7 of 200 images.
        correct = rng.random((4, 200)) < 0.7
        raw = [
            scores.mcnemar_test(correct[first], correct[second])
            for first, second in itertools.combinations(range(4), 2)
        ]
        adjusted = scores.holm_adjust(raw)
        assert all(first <= second <= 1 for first, second in zip(raw, adjusted, strict=True))
        ranked = [adjusted[index] for index in np.argsort(raw)]
        assert ranked == sorted(ranked)
        false_positives["alone"] += min(raw) < 0.05
        false_positives["adjusted"] += min(adjusted) < 0.05
    assert false_positives["alone"] / 400 > 0.1
    assert false_positives["adjusted"] / 400 <= 0.05


def test_the_interval_of_a_difference_holds_it_as_often_as_it_says():
    """Coverage, counted: 2,000 pairs of models on 100 images whose true difference is 0.1."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        cell = rng.choice(4, 100, p=[0.55, 0.2, 0.1, 0.15])  # both right, the first alone, the second alone, none
        low, high = scores.difference_interval(np.isin(cell, [0, 1]), np.isin(cell, [0, 2]))
        covered += low <= 0.1 <= high
    assert 0.935 <= covered / 2000 <= 0.965


def test_the_interval_of_a_difference_by_hand():
    # Bonett and Price: (12 + 1) / 102 and (5 + 1) / 102 of 100 images.
    first = np.r_[np.ones(12), np.zeros(5), np.ones(83)].astype(bool)
    second = np.r_[np.zeros(12), np.ones(5), np.ones(83)].astype(bool)
    middle = 7 / 102
    reach = 1.959964 * np.sqrt((19 / 102 - middle**2) / 102)
    assert scores.difference_interval(first, second) == pytest.approx((middle - reach, middle + reach), abs=1e-6)
    low, high = scores.difference_interval(np.array([True]), np.array([True]))
    assert -1 <= low < 0 < high <= 1


def test_repeats_have_a_mean_and_a_deviation(predictions):
    labels, probabilities = predictions
    repeats = [probabilities, probabilities[:, [0, 2, 1]]]
    summary = classification.summarize_repeats(labels, repeats)["repeats"]
    accuracies = [scores.accuracy(labels, repeat_probabilities) for repeat_probabilities in repeats]
    assert summary["runs"] == 2
    assert summary["test_accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert summary["test_accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert classification.summarize_repeats(labels, []) == {}
    assert classification.summarize_repeats(labels, repeats[:1])["repeats"]["test_loss_std"] == 0
