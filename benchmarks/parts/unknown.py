"""Scores of how little a head on vectors knows a picture, higher for what it does not know; from the literature."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from sklearn.covariance import LedoitWolf

from realwaste.classifier import novelty
from realwaste.training.samples import Samples

CHOSEN = "three nearest, vectors"
_DIRECTIONS = 256  # of the principal space that ViM leaves out
RESAMPLES = 1000
Array = NDArray[np.floating]


class Run:
    """A score of pictures, which of them are unknown, and the group of each: pictures of a series are alike."""

    def __init__(self, score: Array, new: NDArray[np.bool_], group: NDArray[np.int64]) -> None:
        values, self.place = np.unique(score, return_inverse=True)
        self.places, self.new, self.group = len(values), new, group


@dataclass(frozen=True)
class Known:
    """A head, and what it was fitted to and validated with."""

    head: keras.Model
    train: Samples
    val: Samples

    def hidden(self, vectors: Array) -> Array:
        """What the last layer is given, (n, units)."""
        kernel, bias, *_ = self.head.get_weights()
        return np.maximum(vectors @ kernel + bias, 0)

    def logits(self, vectors: Array) -> Array:
        """The scores before the softmax, (n, classes)."""
        *_, kernel, bias = self.head.get_weights()
        return self.hidden(vectors) @ kernel + bias


def scores(known: Known, vectors: Array) -> dict[str, Array]:
    """(n,) by each score's name, the first by the largest probability alone (Hendrycks and Gimpel, 2017)."""
    train, val = (np.asarray(part.inputs) for part in (known.train, known.val))
    energy = -logsumexp(known.logits(vectors), axis=1)  # Liu et al., 2020
    means = np.stack([train[known.train.labels == one].mean(axis=0) for one in np.unique(known.train.labels)])
    precision = LedoitWolf(assume_centered=True).fit(train - means[known.train.labels]).precision_
    far, usual = _mahalanobis(means, precision, vectors), _mahalanobis(means, precision, val)
    usual_energy = -logsumexp(known.logits(val), axis=1)
    return {
        "largest probability": -np.exp(log_softmax(known.logits(vectors), axis=1).max(axis=1)),
        "energy": energy,
        "Mahalanobis": far,  # Lee et al., 2018
        "Mahalanobis and energy": (far - usual.mean()) / usual.std()
        + (energy - usual_energy.mean()) / usual_energy.std(),
        "ViM": _vim(known, train, vectors) + energy,
        "three nearest, hidden layer": nearest(known.hidden(train), known.hidden(val), known.hidden(vectors))[0],
        CHOSEN: nearest(train, val, vectors)[0],
    }


def nearest(train: Array, val: Array, asked: Array) -> tuple[Array, float]:
    """The pipeline's own, and its threshold."""
    fitted = novelty.fitted(train, val)
    assert fitted is not None, "a network that diverged"  # noqa: S101
    return fitted.strangeness(asked), fitted.threshold


def _mahalanobis(means: Array, precision: Array, vectors: Array) -> Array:
    """The squared distance to the nearest class."""
    apart = [vectors - mean for mean in means]
    return np.min([((one @ precision) * one).sum(axis=1) for one in apart], axis=0)


def _vim(known: Known, train: Array, vectors: Array) -> Array:
    """Wang et al., 2022: how far a vector is from the space in which training vectors lie, as large as the scores."""
    centre = train.mean(axis=0)
    _, _, directions = np.linalg.svd(train - centre, full_matrices=True)
    rest = directions[_DIRECTIONS:].T
    left, usual = (np.linalg.norm((own - centre) @ rest, axis=1) for own in (vectors, train))
    return left * known.logits(train).max(axis=1).sum() / usual.sum()


def alone(run: Run, times: NDArray[Any] | None = None) -> float:
    """AUROC of one run, each picture counted so many times; equal scores count half."""
    # sklearn's roc_auc_score sorts anew at each of thousands of resamples.
    place, new = run.place, run.new
    weights = np.ones(len(new)) if times is None else times
    strange, usual = (np.bincount(place[one], weights[one], run.places) for one in (new, ~new))
    return float((strange * (np.cumsum(usual) - usual / 2)).sum() / (strange.sum() * usual.sum()))


def auroc(runs: list[Run]) -> dict[str, float]:
    """The mean over runs, with the 95 % interval over RESAMPLES draws of whole groups, the same groups in each run."""
    groups, draw = np.unique(np.concatenate([run.group for run in runs])), np.random.default_rng(0)
    rows = [np.searchsorted(groups, run.group) for run in runs]
    chance = np.full(len(groups), 1 / len(groups))
    drawn = [draw.multinomial(len(groups), chance) for _ in range(RESAMPLES)]
    means = [np.mean([alone(run, times[row]) for run, row in zip(runs, rows, strict=True)]) for times in drawn]
    low, high = np.quantile(means, [0.025, 0.975])
    return {"auroc": float(np.mean([alone(run) for run in runs])), "low": float(low), "high": float(high)}
