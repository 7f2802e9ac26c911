"""Temperature scaling (Guo et al., 2017): one number that makes a model's probabilities mean what they say."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from realwaste.classifier.probabilities import Labels, Probabilities, log_loss

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
