"""Calibration: whether a model's confidence equals its accuracy (Guo et al., 2017)."""

import numpy as np
import pandas as pd

from realwaste.models.probabilities import Labels, Probabilities, log_loss

BINS = 15
LEVELS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def compute_metrics(
    labels: Labels, raw: Probabilities, calibrated: Probabilities, temperature: float
) -> dict[str, float]:
    """For metrics/evaluate.json: the calibration error before and after temperature scaling, and the loss after it."""
    return {
        "temperature": temperature,
        "ece": expected_calibration_error(labels, raw),
        "ece_calibrated": expected_calibration_error(labels, calibrated),
        "test_loss_calibrated": log_loss(labels, calibrated),
    }


def count_decisions(labels: Labels, probabilities: Probabilities) -> list[dict[str, float]]:
    """For each `--min-confidence` in LEVELS, how many images get a class (decided), and how many of these are right."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    return [
        {
            "min_confidence": level,
            "decided": int((confidence >= level).sum()),
            "right": int(correct[confidence >= level].sum()),
        }
        for level in LEVELS
    ]


def reliability_table(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> pd.DataFrame:
    """A row for each confidence bin that has images: bin, images, confidence (mean top probability), accuracy."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    number = np.clip(np.ceil(confidence * bins).astype(int), 1, bins)
    rows = pd.DataFrame({"bin": number, "confidence": confidence, "accuracy": correct.astype(float)}).groupby("bin")
    return rows.mean().assign(images=rows.size()).reset_index()[["bin", "images", "confidence", "accuracy"]]


def expected_calibration_error(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """ECE: the mean absolute gap between confidence and accuracy over the bins, weighted by their images."""
    bin_table = reliability_table(labels, probabilities, bins)
    gaps = (bin_table["confidence"] - bin_table["accuracy"]).abs() * bin_table["images"]
    return float(gaps.sum() / bin_table["images"].sum())
