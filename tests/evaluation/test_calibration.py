"""Temperature scaling and calibration error, on probabilities whose calibration is known."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from realwaste.evaluation import calibration
from realwaste.models.probabilities import apply_temperature, fit_temperature, log_loss


@pytest.fixture
def calibrated_logits():
    """Labels and logits; the labels are drawn from softmax(logits), so these probabilities are calibrated."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 4))
    is_below = softmax(logits, axis=1).cumsum(axis=1) > rng.random((20_000, 1))
    return is_below.argmax(axis=1), logits


@pytest.mark.parametrize("factor", [0.5, 1, 3])
def test_the_fitted_temperature_is_the_factor_of_the_logits(calibrated_logits, factor):
    labels, logits = calibrated_logits
    probabilities = softmax(logits * factor, axis=1)
    temperature = fit_temperature(labels, probabilities)
    assert temperature == pytest.approx(factor, rel=0.03)
    calibrated = apply_temperature(probabilities, temperature)
    assert calibration.expected_calibration_error(labels, calibrated) < 0.01
    assert log_loss(labels, calibrated) <= log_loss(labels, probabilities)
    np.testing.assert_array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))
    if factor != 1:
        assert calibration.expected_calibration_error(labels, probabilities) > 0.05


def test_temperature_scaling_is_the_softmax_of_the_divided_logits():
    logits = np.random.default_rng(1).normal(size=(5, 3))
    scaled = apply_temperature(softmax(logits, axis=1).astype(np.float32), 2.5)
    np.testing.assert_allclose(np.log(scaled), log_softmax(logits / 2.5, axis=1), atol=1e-5)
    assert np.isfinite(apply_temperature(np.array([[1.0, 0.0]]), 0.01)).all()


def test_the_calibration_error_equals_a_value_computed_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    labels = np.array([0, 1, 0, 0])
    table = calibration.reliability_table(labels, probabilities, bins=10)
    assert table.to_dict("list") == {
        "bin": [7, 10],
        "images": [2, 2],
        "confidence": [0.65, 0.95],
        "accuracy": [0.5, 0.5],
    }
    assert calibration.expected_calibration_error(labels, probabilities, bins=10) == pytest.approx((0.15 + 0.45) / 2)


def test_nan_predictions_have_temperature_1_and_certain_ones_a_finite_one():
    assert fit_temperature(np.array([0]), np.array([[np.nan, np.nan]])) == 1
    certain = np.tile([1.0, 0.0], (10, 1))
    assert fit_temperature(np.zeros(10, int), certain) <= 1
    assert np.isfinite(fit_temperature(np.ones(10, int), certain))


def test_decided_and_right_images_are_counted_for_each_min_confidence():
    probabilities = np.array([[0.95, 0.05], [0.2, 0.8], [0.4, 0.6], [0.49, 0.51]])
    rows = calibration.count_decisions(np.array([0, 0, 1, 1]), probabilities)
    counts = {row["min_confidence"]: (row["decided"], row["right"]) for row in rows}
    assert list(counts) == list(calibration.LEVELS)
    assert (counts[0.0], counts[0.7], counts[0.8], counts[0.9]) == ((4, 3), (2, 1), (2, 1), (1, 1))
    assert counts[0.99] == (0, 0)
