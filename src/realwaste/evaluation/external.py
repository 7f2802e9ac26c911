"""A model on labelled photographs from elsewhere: which folders it has a class for, and how right and sure it is."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from realwaste.core.errors import UserError
from realwaste.core.file_names import folded
from realwaste.evaluation import calibration, classification, intervals, scores
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.models.probabilities import Labels, Probabilities


def match_folders(folders: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """The class of each folder that has one: names count as the same whatever their case, with `_` and `-` as spaces.

    Several folders may have one class (`food_organics` and `Food Organics`); a folder that has none is left out.

    Raises:
        UserError: a folder whose name two classes have.
    """
    known: dict[str, list[str]] = {}
    for name in classes:
        known.setdefault(_key(name), []).append(name)
    found = {folder: known[_key(folder)] for folder in folders if _key(folder) in known}
    for folder, names in found.items():
        if len(names) > 1:
            raise UserError(
                f"The folder {folder!r} must have the name of one class of the model.",
                "Ask a model whose classes differ by more than case, spaces, `_` and `-`, or leave the folder out.",
                names,
            )
    return {folder: names[0] for folder, names in found.items()}


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", folded(name)).strip()


def compute_metrics(
    labels: Sequence[str], probabilities: Probabilities, classes: Sequence[str], groups: Groups
) -> dict[str, Any]:
    """What `score_predictions` says of the images whose class the model knows, those by class, and what it said of the others.

    Precision, as recall, is that among images of known classes.

    Args:
        labels: the class of each image, or the name of its folder where the model has no such class; one is known.
        probabilities: calibrated, (images, classes).
        groups: (images,), a number that photographs of one object share.
    """
    number = pd.Index(classes).get_indexer_for(pd.Index(labels))
    known = number >= 0
    own, said, together = number[known], probabilities[known], groups[known]
    counts = scores.confusion_matrix(own, said)
    there = {name: index for index, name in enumerate(classes) if counts[index].any()}
    table = classification.score_classes(own, said, classes)
    return score_predictions(own, said, together) | {
        "per_class": {name: table[name] | _recall(own, said, together, index) for name, index in there.items()},
        "confusion": {name: _counted(counts[index], classes) for name, index in there.items()},
        "unknown": _unknown(np.asarray(labels)[~known], probabilities[~known], classes),
    }


def score_predictions(labels: Labels, probabilities: Probabilities, groups: Groups) -> dict[str, Any]:
    """images, accuracy, mean confidence (the probability of the answer), each with its 95 % interval, and ece.

    Without images, their number alone.
    """
    if not len(labels):
        return {"images": 0}
    return {
        "images": len(labels),
        "groups": len(np.unique(groups)),
        **intervals.accuracy_with_intervals(labels, probabilities, groups),
        **_confidence(probabilities),
        "ece": calibration.expected_calibration_error(labels, probabilities),
    }


def _recall(labels: Labels, probabilities: Probabilities, groups: Groups, index: int) -> dict[str, float]:
    """A class's recall is the accuracy on its images."""
    own = labels == index
    told = intervals.accuracy_with_intervals(labels[own], probabilities[own], groups[own])
    return {"recall_low": told["accuracy_low"], "recall_high": told["accuracy_high"]}


def _unknown(folders: NDArray[Any], probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """images, how sure the model was of them, and by folder the same and how often each class was said."""
    said = probabilities.argmax(axis=1)
    by_folder = {}
    for folder in sorted(set(folders.tolist())):
        own = folders == folder
        counts = np.bincount(said[own], minlength=len(classes))
        by_folder[folder] = {
            "images": int(own.sum()),
            **_confidence(probabilities[own]),
            "said": _counted(counts, classes),
        }
    return {"images": len(folders), **_confidence(probabilities), "folders": by_folder}


def _confidence(probabilities: Probabilities) -> dict[str, float]:
    """The mean probability of the answers, with its 95 % interval by the normal distribution; nothing of none."""
    sure = probabilities.max(axis=1)
    if not len(sure):
        return {}
    mean = float(sure.mean())
    reach = float(ndtri(0.975) * sure.std(ddof=1) / math.sqrt(len(sure))) if len(sure) > 1 else 1.0
    return {
        "mean_confidence": mean,
        "mean_confidence_low": max(0.0, mean - reach),
        "mean_confidence_high": min(1.0, mean + reach),
    }


def _counted(counts: NDArray[np.integer], classes: Sequence[str]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}
