"""How much the test accuracy of a head depends on the split (cross-validation) and on the number of training images.

Every image is in a test fold once, so no parameter may be chosen by these figures. The heads are trained on cached
vectors; augmented views are left out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from realwaste.core.log import console, is_quiet
from realwaste.dataset.folds import split_by_groups
from realwaste.dataset.labels import labels_of, paths_of
from realwaste.embedding.embeddings import Embeddings, Vectors
from realwaste.evaluation import learning_curve
from realwaste.images.array_shards import Shards
from realwaste.training import finetune
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


def measure_learning_curve(
    cached: Embeddings,
    splits: pd.DataFrame,
    trainer: HeadTrainer,
    percents: Sequence[float],
    *,
    repeats: int,
) -> dict[str, Any]:
    """learning_curve.measure_learning_curve of heads, from cached vectors of all images of `splits` (with `group`)."""
    samples = finetune.select_vectors(splits, cached).train
    test_vectors = cached.select(paths_of(splits, "test"))[:]

    def train_and_test(rows: learning_curve.Rows, seed: int) -> NDArray[np.bool_]:
        head = trainer.fit_head(samples.take(rows), seed)
        return learning_curve.is_correct(np.asarray(head(test_vectors)), splits)

    return learning_curve.measure_learning_curve(
        train_and_test,
        labels_of(splits, "train"),
        splits.loc[splits["split"] == "test", "group"].to_numpy(),
        percents,
        repeats=repeats,
        seed=trainer.recipe.schedule.seed,
    )
