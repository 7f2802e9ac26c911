"""What a linear probe on a backbone's vectors scores that sees a part of each picture, or a poorer one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from realwaste.classifier.inference import in_one_shape
from realwaste.classifier.probabilities import Labels
from realwaste.evaluation import intervals, linear_probe
from realwaste.evaluation.clusters import Groups
from realwaste.images.reader import read_ahead
from realwaste.shortcuts import views


def vectors(extractor: keras.Model, files: Sequence[Path], batch_size: int) -> dict[str, NDArray[np.float32]]:
    """The vectors (n, width) of each of views.ALONE; a picture is read once."""
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in views.ALONE}
    for pictures in read_ahead(files, extractor.input_shape[1], batch_size):
        for name, view in views.ALONE.items():
            found[name].append(in_one_shape(extractor, view(pictures), batch_size))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def accuracies(
    by_view: dict[str, NDArray[np.float32]], labels: Labels, groups: Groups, folds: int
) -> dict[str, dict[str, Any]]:
    """Of each view: accuracy over grouped folds, and its 95 % interval."""
    return {
        name: intervals.of_accuracy(labels, linear_probe.out_of_sample(own, labels, groups, folds), groups)
        for name, own in by_view.items()
    }
