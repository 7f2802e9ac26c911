"""Whether a model's probabilities mean what they say, and one number that makes them (Guo et al., 2017)."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from realwaste.scores import Labels, Probabilities, log_loss

BINS = 15
_SOFTEST, _HARDEST = 100.0, 0.01


def fitted_temperature(labels: Labels, probabilities: Probabilities) -> float:
    """The temperature at which these answers have the least crossentropy; 1 for a model that is as sure as it is right.

    To be fitted on validation images only. Answers that are no numbers have none: 1.
    """
    if not np.isfinite(probabilities).all():
        return 1.0
    found = minimize_scalar(
        lambda exponent: log_loss(labels, tempered(probabilities, float(np.exp(exponent)))),
        bounds=(np.log(_HARDEST), np.log(_SOFTEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return round(float(np.exp(found.x)), 4)


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """softmax(scores / temperature), from the probabilities (n, classes); the order of the classes stays."""
    scores = np.log(np.clip(probabilities.astype(np.float64), 1e-30, None))
    return np.asarray(softmax(scores / temperature, axis=1))


def summary(labels: Labels, raw: Probabilities, calibrated: Probabilities, temperature: float) -> dict[str, float]:
    """For metrics/evaluate.json: calibration error and loss, before and after."""
    return {
        "temperature": temperature,
        "ece": expected_error(labels, raw),
        "ece_calibrated": expected_error(labels, calibrated),
        "test_loss_calibrated": log_loss(labels, calibrated),
    }


def reliability(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> pd.DataFrame:
    """bin, images, confidence (mean probability of the answers), accuracy: a row a bin that has images."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    number = np.clip(np.ceil(sure * bins).astype(int), 1, bins)
    rows = pd.DataFrame({"bin": number, "confidence": sure, "accuracy": right.astype(float)}).groupby("bin")
    return rows.mean().assign(images=rows.size()).reset_index()[["bin", "images", "confidence", "accuracy"]]


def expected_error(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, bins weighted by their images."""
    table = reliability(labels, probabilities, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["images"]
    return float(gaps.sum() / table["images"].sum())
