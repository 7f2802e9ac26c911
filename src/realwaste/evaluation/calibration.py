"""Calibration: whether a model's probabilities mean what they say (Guo et al., 2017)."""

import numpy as np
import pandas as pd

from realwaste.models.probabilities import Labels, Probabilities, log_loss

BINS = 15


def compute_metrics(
    labels: Labels, raw: Probabilities, calibrated: Probabilities, temperature: float
) -> dict[str, float]:
    """For metrics/evaluate.json: calibration error and loss, before and after."""
    return {
        "temperature": temperature,
        "ece": expected_calibration_error(labels, raw),
        "ece_calibrated": expected_calibration_error(labels, calibrated),
        "test_loss_calibrated": log_loss(labels, calibrated),
    }


def reliability_table(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> pd.DataFrame:
    """bin, images, confidence (mean probability of the answers), accuracy: a row a bin that has images."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    number = np.clip(np.ceil(sure * bins).astype(int), 1, bins)
    rows = pd.DataFrame({"bin": number, "confidence": sure, "accuracy": right.astype(float)}).groupby("bin")
    return rows.mean().assign(images=rows.size()).reset_index()[["bin", "images", "confidence", "accuracy"]]


def expected_calibration_error(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, bins weighted by their images."""
    table = reliability_table(labels, probabilities, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["images"]
    return float(gaps.sum() / table["images"].sum())
