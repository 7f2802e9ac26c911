"""What trained models answer for pictures whose outer frame, or whose middle, is painted over or another picture's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.evaluation import background_views, intervals
from realwaste.evaluation.cluster_bootstrap import Groups
from realwaste.images.reader import read_ahead
from realwaste.models.probabilities import Labels, Probabilities, defined
from realwaste.models.session import Session


def predict_swapped_views(asked: Session, files: Sequence[Path], others: Sequence[Path]) -> dict[str, Probabilities]:
    """Probabilities (n, classes) for each of views.CHANGED.

    Args:
        others: (n,), a picture of another class for each, whose frame or middle takes the place of its own.
    """
    size, rows = asked.facts.image_size, asked.facts.batch_size
    found: dict[str, list[Probabilities]] = {name: [] for name in background_views.SWAPPED_VIEWS}
    for own, other in zip(read_ahead(files, size, rows), read_ahead(others, size, rows), strict=True):
        for name, changed in background_views.SWAPPED_VIEWS.items():
            found[name].append(asked(changed(own, other))[0])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def draw_other_class_rows(labels: Labels, seed: int) -> NDArray[np.int64]:
    """For each image a row with another label, drawn at random."""
    chance = np.random.default_rng(seed)
    return np.array([chance.choice(np.flatnonzero(labels != label)) for label in labels])


def summarize_swapped_views(
    answers: dict[str, Probabilities], labels: Labels, other_labels: Labels, groups: Groups
) -> dict[str, dict[str, Any]]:
    """For metrics, of each change: accuracy with its interval, and how often the other picture's class was said."""
    found = {}
    for change, said in answers.items():
        known, undefined = defined(said)
        other = float(np.mean(known.argmax(axis=1) == other_labels))
        found[change] = intervals.accuracy_with_intervals(labels, known, groups) | {
            "other_class": other,
            "undefined_answers": undefined,
        }
    return found
