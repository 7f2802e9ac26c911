"""A classifier's probabilities (n, classes): the crossentropy, rows that are not finite, temperature scaling."""

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating]
Labels = NDArray[np.integer]
MIN_PROBABILITY = 1e-30
"""Smaller ones count as this, since 0 has no logarithm."""
_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.01, 100.0


def fill_undefined(probabilities: Probabilities) -> tuple[Probabilities, int]:
    """The same with 1/classes in every row that is not finite, and the number of those rows: the training diverged."""
    undefined = np.asarray(~np.isfinite(probabilities).all(axis=1))
    return np.where(undefined[:, np.newaxis], 1 / probabilities.shape[1], probabilities), int(undefined.sum())


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean sparse categorical crossentropy, probabilities clipped at 1e-7 as Keras clips them."""
    of_true_class = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(of_true_class, 1e-7, 1 - 1e-7)).mean())


def fit_temperature(labels: Labels, probabilities: Probabilities) -> float:
    """The temperature that minimises the crossentropy of validation images (Guo et al., 2017).

    A temperature above 1 means that the model is overconfident. Probabilities that are not finite give 1.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - half a second, which a prediction need not wait for

    if not np.isfinite(probabilities).all():
        return 1.0
    result = minimize_scalar(
        lambda exponent: log_loss(labels, apply_temperature(probabilities, float(np.exp(exponent)))),
        bounds=(np.log(_MIN_TEMPERATURE), np.log(_MAX_TEMPERATURE)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return round(float(np.exp(result.x)), 4)


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """softmax(scores / temperature), from probabilities (n, classes); the ranking of the classes does not change."""
    scores = np.log(np.clip(probabilities.astype(np.float64), MIN_PROBABILITY, None)) / temperature
    # Not scipy.special.softmax: its import takes a fifth of the second that `predict` takes.
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
