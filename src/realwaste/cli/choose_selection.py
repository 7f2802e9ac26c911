"""Predictions of models for unlabelled photographs, and which to label: pool-based active learning, a batch at a time.

Uncertainty sampling by margin: the smaller the difference between the two largest probabilities, the less sure the
model (Scheffer, Decomain and Wrobel, 2001; Settles, 2009). With several models the mean of their probabilities counts,
which is the consensus of query by committee (Seung, Opper and Sompolinsky, 1992; McCallum and Nigam, 1998): models that
are sure of different classes leave a small margin too. The most uncertain photographs alone may be one object
photographed ten times. So the batch is diversified as by Zhdanov (2019, arXiv:1901.05954): of the OVERSAMPLING times
as many most uncertain photographs, k-means clusters the features, weighted by uncertainty, and the photograph nearest
to each cluster's centre is selected. docs/labels.md compares this with uncertainty alone and with diversity alone.
"""

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.core.errors import UserError
from realwaste.models import image_predictions
from realwaste.models.image_predictions import ClassProbability, ImagePrediction
from realwaste.models.probabilities import Probabilities
from realwaste.models.session import Session
from realwaste.runtime.inference_engine import Network

OVERSAMPLING = 10
_MIN_WEIGHT = 1e-6  # so that photographs of which the model is sure belong to a cluster too

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """A photograph and the mean prediction of the models."""

    path: Path
    predictions: tuple[ClassProbability, ...]  # every class, the most probable first
    uncertainty: float  # 1 minus the difference of the first two probabilities, 0 to 1
    models_disagreeing: int  # how many have another most probable class
    is_novel: bool | None  # whether a model finds it unlike its training images; None without a novelty score


@dataclass(frozen=True)
class Selection:
    """The photographs to label, of `candidate_count`; and path and reason of each without a prediction."""

    selected: list[Candidate]  # the most uncertain first
    candidate_count: int
    errors: list[tuple[Path, str]]


ModelPredictions = list[tuple[ImagePrediction, Vectors | None]]
"""What `predict_with_features` yields for one model."""


def check_same_classes(sessions: Sequence[Session]) -> None:
    """Raise UserError unless all models have the same classes: otherwise their predictions have no mean."""
    first, *others = [session.metadata for session in sessions]
    for other in others:
        if other.classes != first.classes:
            rule = f"Models that are used together must have the same classes; {first.name} and {other.name} do not."
            raise UserError(rule, "Name other models, or only one.", list(other.classes))


def predict_with_features(session: Session, paths: Sequence[Path]) -> Iterator[tuple[ImagePrediction, Vectors | None]]:
    """`image_predictions.predict_images`, each with the image's features (width,); None if the image cannot be read."""
    network = session.classify
    recording = _RecordingNetwork(network.run, network.batch_size, network.shape)
    for prediction in image_predictions.predict_images(replace(session, classify=recording), paths):
        has_features = prediction.error in {None, image_predictions.UNDEFINED}
        yield prediction, recording.features.popleft() if has_features else None


@dataclass(frozen=True)
class _RecordingNetwork(Network):
    """The classification head, which records the features it is called with; of several augmented views, the first."""

    features: deque[Vectors] = field(default_factory=deque)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        self.features.extend(inputs[:, 0] if inputs.ndim == 3 else inputs)
        return super().__call__(inputs)


def select_photos(by_model: Sequence[ModelPredictions], classes: Sequence[str], count: int) -> Selection:
    """Select at most `count` photographs, from the predictions of each model for the same photographs."""
    errors, readable = [], []
    for row in zip(*by_model, strict=True):
        failed = [prediction for prediction, _ in row if prediction.error is not None]
        if failed:
            errors.append((failed[0].path, failed[0].error or ""))
        else:
            readable.append(row)
    if not readable:
        return Selection([], 0, errors)
    by_name = [
        [{ranked.name: ranked.probability for ranked in prediction.predictions} for prediction, _ in row]
        for row in readable
    ]
    # (photographs, models, classes)
    probabilities = np.array([[[model[name] for name in classes] for model in row] for row in by_name])
    mean = probabilities.mean(axis=1)
    uncertainty = margin_uncertainty(mean)
    disagreeing = (probabilities.argmax(axis=2) != mean.argmax(axis=1)[:, np.newaxis]).sum(axis=1)
    # The features of all models side by side, (photographs, sum of widths); each model has the same weight.
    vectors = [np.stack([np.asarray(vector) for _, vector in rows]) for rows in zip(*readable, strict=True)]
    features = np.concatenate([l2_normalize(rows) for rows in vectors], axis=1)
    selected = []
    for n in select_batch(uncertainty, l2_normalize(features), count):
        novel = [prediction.is_novel for prediction, _ in readable[n] if prediction.is_novel is not None]
        ranked = image_predictions.rank_classes(mean[n], classes)
        is_novel = any(novel) if novel else None
        photo = readable[n][0][0].path
        selected.append(Candidate(photo, ranked, float(uncertainty[n]), int(disagreeing[n]), is_novel))
    return Selection(selected, len(readable), errors)


def margin_uncertainty(probabilities: Probabilities) -> NDArray[np.float64]:
    """One minus the difference between the two largest probabilities, 0 to 1: (n,) for (n, classes)."""
    largest = np.partition(np.asarray(probabilities, np.float64), -2, axis=1)
    return np.asarray(1 - (largest[:, -1] - largest[:, -2]))


def l2_normalize(vectors: Vectors) -> Vectors:
    """(n, width): each row scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def select_batch(
    uncertainty: NDArray[np.float64], features: Vectors, count: int, *, oversampling: int = OVERSAMPLING, seed: int = 0
) -> Rows:
    """The rows to label, at most `count`, the most uncertain first, by uncertainty (n,) and features (n, width)."""
    order = np.argsort(-uncertainty, kind="stable").astype(np.int64)
    if len(order) <= count:
        return order
    pool = order[: oversampling * count]
    selected = _nearest_to_centres(features[pool], uncertainty[pool] + _MIN_WEIGHT, count, seed)
    # With fewer distinct photographs than clusters, the most uncertain of the others fill the batch.
    filling = np.setdiff1d(np.arange(len(pool)), selected)[: count - len(selected)]
    return np.asarray(pool[np.sort(np.concatenate([selected, filling]))])


def _nearest_to_centres(vectors: Vectors, weights: NDArray[np.float64], count: int, seed: int) -> Rows:
    """The row nearest to the centre of each of `count` clusters."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - takes nearly a second, which a user error need not wait for
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # With several threads the last digits, and so ties, would depend on their number.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct photographs than clusters
        clusters = KMeans(count, n_init=1, random_state=seed).fit(vectors, sample_weight=weights)
    distances = ((vectors - clusters.cluster_centers_[clusters.labels_]) ** 2).sum(axis=1)
    members = [np.flatnonzero(clusters.labels_ == label) for label in np.unique(clusters.labels_)]
    return np.array([rows[distances[rows].argmin()] for rows in members], np.int64)
