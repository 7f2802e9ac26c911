"""Ways to make a head's probabilities mean what they say, each fitted on validation vectors alone."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from benchmarks.parts.unknown import Array, Known, nearest
from realwaste.classifier.probabilities import Labels, Probabilities, log_loss
from realwaste.classifier.temperature_scaling import fitted_temperature, tempered
from realwaste.images.reader import Pixels

Asked = Callable[[Array], Probabilities]


def ways(known: Known, smoothed: Known, several: Sequence[Known]) -> dict[str, Asked]:
    """By name; `smoothed` has learned with label smoothing, `several` are heads of other seeds."""
    val, labels = np.asarray(known.val.inputs), known.val.labels
    classes = known.logits(val).shape[1]

    def alone(vectors: Array) -> Probabilities:
        return softmax(known.logits(vectors), axis=1)

    def soft(vectors: Array) -> Probabilities:
        return softmax(smoothed.logits(vectors), axis=1)

    def mean(vectors: Array) -> Probabilities:
        return np.mean([softmax(one.logits(vectors), axis=1) for one in several], axis=0)

    def by_class(numbers: Array, vectors: Array) -> Probabilities:
        return softmax(known.logits(vectors) * np.exp(numbers[:classes]) + numbers[classes:], axis=1)

    train = np.asarray(known.train.inputs)
    usual = nearest(train, val, val)[0]

    def by_strangeness(numbers: Array, vectors: Array) -> Probabilities:
        strange = (nearest(train, val, vectors)[0] - usual.mean()) / usual.std()
        return softmax(known.logits(vectors) / np.exp(numbers[0] + numbers[1] * strange)[:, np.newaxis], axis=1)

    return {
        "as they are": alone,
        "temperature (the pipeline's; Guo et al., 2017)": _tempered(alone, val, labels),
        "scale and offset a class (vector scaling)": _fitted(by_class, 2 * classes, val, labels),
        "temperature that changes with strangeness (Tomani et al., 2023)": _fitted(by_strangeness, 2, val, labels),
        "label smoothing 0.1 and temperature": _tempered(soft, val, labels),
        "mean of five heads and temperature": _tempered(mean, val, labels),
    }


def _tempered(ask: Asked, val: Array, labels: Labels) -> Asked:
    temperature = fitted_temperature(labels, ask(val))
    return lambda vectors: tempered(ask(vectors), temperature)


def _fitted(ask: Callable[[Array, Array], Probabilities], numbers: int, val: Array, labels: Labels) -> Asked:
    found = minimize(lambda tried: log_loss(labels, ask(tried, val)), np.zeros(numbers)).x
    return lambda vectors: ask(found, vectors)


def corrupted(picture: Pixels, chance: np.random.Generator) -> Pixels:
    """As another camera or another light may have it: blurred, darker, brighter, tinted, noisy or nearer."""
    side = len(picture)
    kind, pixels = chance.integers(6), picture.astype(np.float32)
    if kind == 0:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), chance.uniform(1, 3)), np.float32)
    elif kind < 3:
        pixels = pixels * np.float32(chance.uniform(*[(0.4, 0.75), (1.25, 1.8)][kind - 1]))
    elif kind == 3:
        pixels = pixels * chance.uniform(0.7, 1.3, 3).astype(np.float32)
    elif kind == 4:
        pixels = pixels + chance.normal(0, chance.uniform(8, 25), pixels.shape).astype(np.float32)
    else:
        part = int(side * chance.uniform(0.4, 0.75))
        top, left = chance.integers(0, side - part, 2)
        cut = pixels[top : top + part, left : left + part]
        pixels = np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
