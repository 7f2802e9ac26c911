"""Tests of how much a prediction depends on the background, on the views of `background_views`.

Linear probes on a frozen backbone show how predictive of the class each view is. Trained models are tested on pictures
whose outer frame or middle is painted over or replaced by that of another picture.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realwaste.evaluation import background_views, intervals, linear_probe, scores
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.images.reader import prefetch_batches
from realwaste.models.probabilities import Labels, Probabilities, fill_undefined
from realwaste.runtime.inference_engine import Network

if TYPE_CHECKING:
    from realwaste.models.session import Session


def embed_views(extractor: Network, files: Sequence[Path], image_size: int) -> dict[str, NDArray[np.float32]]:
    """The backbone's features (n, width) of each of PROBE_VIEWS; each picture is read once."""
    features: dict[str, list[NDArray[np.float32]]] = {name: [] for name in background_views.PROBE_VIEWS}
    for pictures in prefetch_batches(files, image_size, extractor.batch_size):
        for name, view in background_views.PROBE_VIEWS.items():
            features[name].append(extractor(view(pictures)))
    return {name: np.concatenate(parts) for name, parts in features.items()}


def probe_accuracies(
    features: dict[str, NDArray[np.float32]], labels: Labels, groups: Groups, folds: int
) -> dict[str, dict[str, Any]]:
    """For each view, the accuracy of a linear probe over grouped folds with its 95 % interval."""
    return {
        name: intervals.accuracy_with_intervals(
            labels, linear_probe.predict_out_of_sample(view_features, labels, groups, folds), groups
        )
        for name, view_features in features.items()
    }


def predict_swapped_views(
    session: "Session", files: Sequence[Path], other_class_files: Sequence[Path]
) -> dict[str, Probabilities]:
    """A model's probabilities (n, classes) for each of SWAPPED_VIEWS.

    `other_class_files` has for each of `files` one of another class, whose frame or middle replaces the picture's own.
    """
    size, batch_size = session.metadata.image_size, session.metadata.batch_size
    predictions: dict[str, list[Probabilities]] = {name: [] for name in background_views.SWAPPED_VIEWS}
    for pictures, other_pictures in zip(
        prefetch_batches(files, size, batch_size), prefetch_batches(other_class_files, size, batch_size), strict=True
    ):
        for name, view in background_views.SWAPPED_VIEWS.items():
            predictions[name].append(session(view(pictures, other_pictures))[0])
    return {name: np.concatenate(parts) for name, parts in predictions.items()}


def draw_other_class_rows(labels: Labels, seed: int) -> NDArray[np.int64]:
    """For each image, the index (n,) of a random image with another label."""
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(np.flatnonzero(labels != label)) for label in labels])


def summarize_swapped_views(
    predictions: dict[str, Probabilities], labels: Labels, other_labels: Labels, groups: Groups
) -> dict[str, dict[str, Any]]:
    """For metrics: each view's accuracy with its interval, and how often the other picture's class is predicted."""
    metrics = {}
    for view, raw in predictions.items():
        probabilities, undefined = fill_undefined(raw)
        metrics[view] = intervals.accuracy_with_intervals(labels, probabilities, groups)
        metrics[view]["other_class"] = scores.accuracy(other_labels, probabilities)
        metrics[view]["undefined_answers"] = undefined
    return metrics
