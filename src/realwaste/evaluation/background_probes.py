"""What a linear probe on a backbone's vectors scores that sees a part of each picture, or a poorer one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.evaluation import background_views, intervals, linear_probe
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.images.reader import read_ahead
from realwaste.models.probabilities import Labels
from realwaste.runtime.inference_engine import Network


def embed_views(extractor: Network, files: Sequence[Path], image_size: int) -> dict[str, NDArray[np.float32]]:
    """The vectors (n, width) of each of views.ALONE; a picture is read once."""
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in background_views.PROBE_VIEWS}
    for pictures in read_ahead(files, image_size, extractor.rows):
        for name, view in background_views.PROBE_VIEWS.items():
            found[name].append(extractor(view(pictures)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def probe_accuracies(
    by_view: dict[str, NDArray[np.float32]], labels: Labels, groups: Groups, folds: int
) -> dict[str, dict[str, Any]]:
    """Of each view: accuracy over grouped folds, and its 95 % interval."""
    return {
        name: intervals.accuracy_with_intervals(
            labels, linear_probe.predict_out_of_sample(own, labels, groups, folds), groups
        )
        for name, own in by_view.items()
    }
