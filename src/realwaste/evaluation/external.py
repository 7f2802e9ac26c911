"""Metrics of a model on an external test set: which folders it has a class for, its accuracy and its confidence."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from realwaste.core.errors import UserError
from realwaste.core.file_names import fold_name
from realwaste.evaluation import calibration, classification, intervals, scores
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.models.probabilities import Labels, Probabilities


def match_folders(folders: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """The class of each folder that has one; case is ignored, and `_` and `-` count as spaces.

    Several folders may have the same class (`food_organics` and `Food Organics`). Folders without a class are left out.

    Raises:
        UserError: two classes match the name of a folder.
    """
    classes_by_key, class_of_folder = defaultdict(list), {}
    for name in classes:
        classes_by_key[_normalized_name(name)].append(name)
    for folder in folders:
        names = classes_by_key[_normalized_name(folder)]
        if len(names) > 1:
            raise UserError(
                f"The folder {folder!r} must have the name of one class of the model.",
                "Use a model whose classes differ by more than case, spaces, `_` and `-`, or remove the folder.",
                names,
            )
        if names:
            class_of_folder[folder] = names[0]
    return class_of_folder


def _normalized_name(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", fold_name(name)).strip()


def compute_metrics(
    labels: Sequence[str], probabilities: Probabilities, classes: Sequence[str], groups: Groups
) -> dict[str, Any]:
    """`score_predictions` for images of the model's classes, their scores per class, and predictions for other images.

    Precision and recall are computed on images of the model's classes alone.

    Args:
        labels: the class of each image, or its folder's name if the model has no such class. At least one is a class.
        probabilities: (images, classes), calibrated.
        groups: (images,), the near-duplicate group of each image.
    """
    class_index = pd.Index(classes).get_indexer_for(pd.Index(labels))
    is_known = class_index >= 0
    scored = class_index[is_known], probabilities[is_known], groups[is_known]
    counts = scores.confusion_matrix(*scored[:2])
    present_classes = {name: index for index, name in enumerate(classes) if counts[index].any()}
    class_scores = classification.score_classes(*scored[:2], classes)
    return score_predictions(*scored) | {
        "per_class": {
            name: class_scores[name] | _recall_interval(*scored, index) for name, index in present_classes.items()
        },
        "confusion": {name: _counts_by_class(counts[index], classes) for name, index in present_classes.items()},
        "unknown": _score_unknown_folders(np.asarray(labels)[~is_known], probabilities[~is_known], classes),
    }


def score_predictions(labels: Labels, probabilities: Probabilities, groups: Groups) -> dict[str, Any]:
    """images, groups, accuracy and mean confidence (top probability) with 95 % intervals, ece and by_min_confidence.

    Without images, `images` alone.
    """
    if not len(labels):
        return {"images": 0}
    return {
        "images": len(labels),
        "groups": len(np.unique(groups)),
        **intervals.accuracy_with_intervals(labels, probabilities, groups),
        **_mean_confidence(probabilities),
        "ece": calibration.expected_calibration_error(labels, probabilities),
        "by_min_confidence": calibration.count_decisions(labels, probabilities),
    }


def _recall_interval(labels: Labels, probabilities: Probabilities, groups: Groups, index: int) -> dict[str, float]:
    """The interval of a class's recall, which is the accuracy on the images of the class."""
    of_class = labels == index
    accuracy = intervals.accuracy_with_intervals(labels[of_class], probabilities[of_class], groups[of_class])
    return {"recall_low": accuracy["accuracy_low"], "recall_high": accuracy["accuracy_high"]}


def _score_unknown_folders(
    folders: NDArray[Any], probabilities: Probabilities, classes: Sequence[str]
) -> dict[str, Any]:
    """images and mean confidence in total and for each folder, with how often each class is predicted."""
    predicted = probabilities.argmax(axis=1)
    by_folder = {}
    for folder in sorted(set(folders.tolist())):
        in_folder = folders == folder
        by_folder[folder] = {
            "images": int(in_folder.sum()),
            **_mean_confidence(probabilities[in_folder]),
            "said": _counts_by_class(np.bincount(predicted[in_folder], minlength=len(classes)), classes),
        }
    return {"images": len(folders), **_mean_confidence(probabilities), "folders": by_folder}


def _mean_confidence(probabilities: Probabilities) -> dict[str, float]:
    """The mean top probability with its 95 % interval by the normal distribution; empty without images."""
    confidence = probabilities.max(axis=1)
    if not len(confidence):
        return {}
    mean, half_width = float(confidence.mean()), 1.0
    if len(confidence) > 1:
        half_width = float(ndtri(0.975) * confidence.std(ddof=1) / math.sqrt(len(confidence)))
    return {
        "mean_confidence": mean,
        "mean_confidence_low": max(0.0, mean - half_width),
        "mean_confidence_high": min(1.0, mean + half_width),
    }


def _counts_by_class(counts: NDArray[np.integer], classes: Sequence[str]) -> dict[str, int]:
    return dict(zip(classes, counts.tolist(), strict=True))
