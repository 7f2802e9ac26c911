"""Novelty with each class left out in turn, and the learning curve of a head."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf

from benchmarks.parts.heads import mean_interval, trainer
from benchmarks.parts.photographs import Backbone, Photographs
from benchmarks.parts.split_effect import make_split
from realwaste.core import log
from realwaste.evaluation import learning_curve
from realwaste.models import novelty
from realwaste.training.finetune import TrainVal
from realwaste.training.samples import Samples

SEEDS, RESAMPLES = (1,), 500
PERCENTS, REPEATS = (5, 10, 25, 50, 100), 3
NEAREST = "**three nearest, vectors**"
Array = NDArray[np.floating]
Table = dict[str, Any]


class Run:
    """Scores of photographs of one seed, which of them are of the class left out, and the group of each."""

    def __init__(self, score: Array, new: NDArray[np.bool_], group: NDArray[np.int64]) -> None:
        values, self.place = np.unique(score, return_inverse=True)
        self.places, self.new, self.group = len(values), new, group

    def auroc(self, weights: NDArray[Any]) -> float:
        """With each photograph counted so many times; equal scores count half."""
        # sklearn's roc_auc_score sorts anew at each of thousands of resamples.
        novel, usual = (np.bincount(self.place[rows], weights[rows], self.places) for rows in (self.new, ~self.new))
        return float((novel * (np.cumsum(usual) - usual / 2)).sum() / (novel.sum() * usual.sum()))


def measure(photos: Photographs, backbone: Backbone) -> list[Table]:
    """The AUROC of each score by the class left out, and the share of photographs that the threshold flags."""
    vectors, fit = photos.vectors(backbone), trainer(len(photos.classes) - 1)
    runs: dict[str, dict[int, list[Run]]] = {}
    flags: list[tuple[Array, NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]] = []
    for seed in SEEDS:
        part = make_split(photos, "grouped", seed)["split"].to_numpy()
        for label in range(len(photos.classes)):
            rows = np.flatnonzero((part == "test") | (photos.labels == label))
            new, group = photos.labels[rows] == label, photos.groups[rows]
            known = photos.labels != label
            train, val = (
                Samples(vectors[own], (photos.labels - (photos.labels > label))[own])
                for own in ((part == name) & known for name in ("train", "val"))
            )
            head, _ = fit.fit(TrainVal(train, val), seed, silent=True)
            scores, flagged = _scores(head, train, val, vectors[rows])
            for name, score in scores.items():
                runs.setdefault(name, {}).setdefault(label, []).append(Run(score, new, group))
            flags.append((flagged.astype(float), new, group, np.full(len(rows), label)))
            log.logger.info("seed %d without %s", seed, photos.classes[label])
    flagged, new, group, left_out = (np.concatenate(values) for values in zip(*flags, strict=True))
    table: list[list[Any]] = []
    for label, name in enumerate(photos.classes):
        cells = [_interval(by_class[label]) for by_class in runs.values()]
        own = new & (left_out == label)
        table.append([str(name), int((photos.labels == label).sum()), *cells, mean_interval(flagged[own], group[own])])
    means = [float(np.mean([row[2 + place][0] for row in table])) for place in range(len(runs))]
    table.append(["mean of the classes", len(photos.labels), *means, mean_interval(flagged[new], group[new])])
    heads = ["class left out", "photographs", *runs, "flagged as novel"]
    usual = ["test photographs of the other eight classes that are flagged", mean_interval(flagged[~new], group[~new])]
    return [{"heads": heads, "rows": table}, {"heads": ["measured", "share"], "rows": [usual]}]


def curve(photos: Photographs, backbone: Backbone) -> list[Table]:
    """The test accuracy of a head by the number of training photographs, on a grouped split."""
    part = make_split(photos, "grouped", 42)["split"].to_numpy()
    test, train, val = (np.flatnonzero(part == name) for name in ("test", "train", "val"))
    vectors, fit = photos.vectors(backbone), trainer(len(photos.classes))

    def train_and_test(rows: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
        data = TrainVal(*(Samples(vectors[own], photos.labels[own]) for own in (train[rows], val)))
        return np.asarray(fit.fit(data, seed, silent=True)[0](vectors[test])).argmax(axis=1) == photos.labels[test]

    points = learning_curve.measure_learning_curve(
        train_and_test, photos.labels[train], photos.groups[test], PERCENTS, repeats=REPEATS, seed=42
    )
    rows = [
        [point["images"], [point[f"accuracy{end}"] for end in ("", "_low", "_high")]]
        for point in (points[f"at_{percent}"] for percent in PERCENTS)
    ]
    return [{"heads": ["training photographs", f"accuracy on {len(test)} test photographs"], "rows": rows}]


def _scores(
    head: keras.Model, train: Samples, val: Samples, vectors: Array
) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """Novelty scores of vectors, and whether the threshold of the chosen score flags each."""
    hidden_kernel, hidden_bias, kernel, bias = head.get_weights()
    logits = np.maximum(vectors @ hidden_kernel + hidden_bias, 0) @ kernel + bias
    inputs, labels = np.asarray(train.inputs), train.labels
    means = np.stack([inputs[labels == label].mean(axis=0) for label in np.unique(labels)])
    precision = LedoitWolf(assume_centered=True).fit(inputs - means[labels]).precision_
    centered = (vectors - mean for mean in means)
    distance = np.min([((values @ precision) * values).sum(axis=1) for values in centered], axis=0)
    fitted = novelty.fit(inputs, np.asarray(val.inputs))
    assert fitted is not None, "the vectors are finite"  # noqa: S101
    nearest = fitted.scores(vectors)
    energy = -logsumexp(logits, axis=1)
    largest = -np.exp(logits.max(axis=1) + energy)
    scores = {"largest probability": largest, "energy": energy, "Mahalanobis": distance, NEAREST: nearest}
    return scores, nearest > fitted.threshold


def _interval(runs: list[Run]) -> list[float]:
    """The mean AUROC over runs, with its interval over draws of whole groups, the same groups in each run."""
    groups, rng = np.unique(np.concatenate([run.group for run in runs])), np.random.default_rng(0)
    rows = [np.searchsorted(groups, run.group) for run in runs]
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), RESAMPLES)
    means = [np.mean([run.auroc(draw[row]) for run, row in zip(runs, rows, strict=True)]) for draw in draws]
    estimate = float(np.mean([run.auroc(np.ones(len(run.new))) for run in runs]))
    return [estimate, *np.quantile(means, [0.025, 0.975]).tolist()]
