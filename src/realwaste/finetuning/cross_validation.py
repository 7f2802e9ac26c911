"""Heads fitted anew on other splits of the same vectors: how much a test accuracy owes to its split.

All images are in turn learned from and asked about, so nothing may be chosen by these figures. Views that a head may
learn from beside the photographs are left out.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from realwaste.compute.repeatable import make_repeatable
from realwaste.embedding.embeddings import Vectors
from realwaste.finetuning import phases
from realwaste.finetuning.phases import Parts, Recipe
from realwaste.images.shards import Shards
from realwaste.training.samples import Samples


def repeated(
    vectors: Vectors | Shards,
    labels: NDArray[np.int64],
    groups: NDArray[np.integer],
    recipe: Recipe,
    *,
    folds: int,
    repeats: int,
) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of the accuracy over the folds of repeated grouped cross-validation.

    Args:
        vectors: (n, width), of a frozen backbone; labels: (n,), class numbers.
        groups: (n,); those of one group are in one fold. With fewer groups than `folds` there are so many folds.
        recipe: of the head; the backbone's end does not learn here.
    """
    folds = min(folds, len(np.unique(groups)))
    if folds < 2:
        return {}
    accuracies = []
    for repeat in range(repeats):
        seed = recipe.schedule.seed + repeat
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        for learned, asked in parts.split(labels, labels, groups):
            make_repeatable(seed, deterministic=recipe.deterministic)
            own = Parts(*(Samples(vectors[rows], labels[rows]) for rows in (learned, asked)))
            shape = recipe.dense_units, recipe.classes, replace(recipe.schedule, seed=seed), recipe.dropout
            # The asked fold only watches: the last epoch is kept, so its accuracy chooses nothing.
            _, trained = phases.fit_head(own, *shape, silent=True)
            accuracies.append(float(trained.history["val_accuracy"].fillna(0).iloc[-1]))
    return {
        "folds": folds,
        "repeats": repeats,
        "accuracy_mean": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies, ddof=1)),
        "accuracy_least": min(accuracies),
        "accuracy_most": max(accuracies),
    }
