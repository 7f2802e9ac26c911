"""Cross-validation of heads on the vectors of all images: how much a test accuracy depends on the split.

Every image is in a test fold once, so no parameter may be chosen by these figures. Augmented views are left out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from realwaste.core.log import console, is_quiet
from realwaste.dataset.folds import split_by_groups
from realwaste.embedding.embeddings import Vectors
from realwaste.images.array_shards import Shards
from realwaste.training.finetune import HeadTrainer
from realwaste.training.samples import Samples


def cross_validate(
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
        groups: (n,); images of one group are in one fold.
        folds: the most folds, as of split_by_groups; the result is empty where that gives none.
        trainer: of the head; the backbone stays frozen here.
    """
    seeds = [trainer.recipe.schedule.seed + repeat for repeat in range(repeats)]
    parts_by_seed = {seed: split_by_groups(labels, groups, folds, seed) for seed in seeds}
    all_parts = [(seed, *part) for seed, parts in parts_by_seed.items() for part in parts]
    accuracies = []
    for seed, train_rows, test_rows in track(all_parts, "other splits", console=console, disable=is_quiet()):
        head = trainer.fit_head(Samples(vectors[train_rows], labels[train_rows]), seed)
        probabilities = np.asarray(head(vectors[test_rows]))
        is_finite = np.isfinite(probabilities).all(axis=1)
        is_correct = is_finite & (probabilities.argmax(axis=1) == labels[test_rows])
        accuracies.append(float(is_correct.mean()))
    if not accuracies:
        return {}
    return {
        "folds": max(map(len, parts_by_seed.values())),
        "repeats": repeats,
        "accuracy_mean": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies, ddof=1)),
        "accuracy_least": min(accuracies),
        "accuracy_most": max(accuracies),
    }
