"""A classifier's answers as probabilities (n, classes), and the loss that networks are trained by."""

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating]
Labels = NDArray[np.integer]


def defined(probabilities: Probabilities) -> tuple[Probabilities, int]:
    """The same with 1/n in each row that is no number, and how many those were: weights that diverged know nothing."""
    undefined = np.asarray(~np.isfinite(probabilities).all(axis=1))
    return np.where(undefined[:, np.newaxis], 1 / probabilities.shape[1], probabilities), int(undefined.sum())


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean sparse categorical crossentropy, probabilities clipped at 1e-7 as Keras clips them."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, 1e-7, 1 - 1e-7)).mean())
