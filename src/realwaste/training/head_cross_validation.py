"""Heads fitted anew on other splits of the same vectors: how much a test accuracy owes to its split.

All images are in turn learned from and asked about, so nothing may be chosen by these figures. Views that a head may
learn from beside the photographs are left out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.dataset.folds import split_by_groups
from realwaste.embedding.embeddings import Vectors
from realwaste.images.array_shards import Shards
from realwaste.training.finetune import HeadTrainer, Parts
from realwaste.training.samples import Samples


def repeated(
    vectors: Vectors | Shards,
    labels: NDArray[np.int64],
    groups: NDArray[np.integer],
    trainer: HeadTrainer,
    *,
    folds: int,
    repeats: int,
) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of the accuracy over the folds of repeated grouped cross-validation.

    Args:
        vectors: (n, width), of a frozen backbone; labels: (n,), class numbers.
        groups: (n,); those of one group are in one fold.
        folds: at most, as of split_by_groups; nothing where that gives none.
        trainer: of the head; the backbone stays frozen here.
    """
    accuracies, fitted_folds = [], 0
    for repeat in range(repeats):
        seed = trainer.recipe.schedule.seed + repeat
        parts = split_by_groups(labels, groups, folds, seed)
        fitted_folds = max(fitted_folds, len(parts))
        for learned, asked in parts:
            own = Parts(*(Samples(vectors[rows], labels[rows]) for rows in (learned, asked)))
            # The asked fold only watches: the last epoch is kept, so its accuracy chooses nothing.
            fitted, _ = trainer.fit(own, seed, silent=True)
            answer = np.asarray(fitted(vectors[asked]))
            right = np.isfinite(answer).all(axis=1) & (answer.argmax(axis=1) == labels[asked])
            accuracies.append(float(right.mean()))
    if not accuracies:
        return {}
    return {
        "folds": fitted_folds,
        "repeats": repeats,
        "accuracy_mean": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies, ddof=1)),
        "accuracy_least": min(accuracies),
        "accuracy_most": max(accuracies),
    }
