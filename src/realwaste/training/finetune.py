"""Fine-tuning (report, section 2.3): a head on cached vectors; then, optionally, layers of the backbone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.dataset.labels import labels_of, paths_of
from realwaste.embedding.embeddings import Embeddings
from realwaste.models.augmentation import add_augmentation, augmentation_layers
from realwaste.runtime import fused_layers
from realwaste.runtime.determinism import make_repeatable
from realwaste.training import batches, head, training_history, training_loop, unfreezing
from realwaste.training.finetune_recipe import FinetuneRecipe, LastLayers
from realwaste.training.mixup import MixupClassifier
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule
from realwaste.training.training_history import Training
from realwaste.training.training_loop import CompiledTraining

_DERIVED = 2**31  # no seed of params.yaml is as large


@dataclass(frozen=True)
class TrainVal:
    """Training and validation samples: vectors of the frozen backbone, or pictures."""

    train: Samples
    val: Samples


def select_vectors(splits: pd.DataFrame, vectors: Embeddings, views: Sequence[Embeddings] = ()) -> TrainVal:
    """Cached vectors of the images in `splits`. With augmented views, all training vectors are in memory."""
    train, val = (Samples(vectors.select(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    if views:
        inputs = np.concatenate([embedding.select(paths_of(splits, "train"))[:] for embedding in (vectors, *views)])
        train = Samples(inputs, np.tile(train.labels, 1 + len(views)))
    return TrainVal(train, val)


class HeadTrainer:
    """The first phase: fits heads of one recipe to data sets of the same width, with one compiled network.

    Each fit starts from the weights, the random state and the optimizer state of a new network, so it gives the same
    bits as a new trainer. The head that it returns is changed by the next fit with the same seed.
    """

    def __init__(self, recipe: FinetuneRecipe) -> None:
        self.recipe = recipe
        self._compiled: CompiledTraining | None = None
        self._initialized: dict[int, tuple[keras.Model, list[NDArray[Any]]]] = {}

    def fit(self, vectors: TrainVal, seed: int, *, silent: bool = False) -> tuple[keras.Model, Training]:
        """A new head, fitted to vectors. Several heads are averaged, and their histories too."""
        heads, trainings = [], []
        for number in range(self.recipe.heads):
            schedule = replace(self.recipe.schedule, seed=seed_of_head(seed, number))
            heads.append(self._start(vectors.train, schedule))
            training_copy = self._trained.training_copy
            trainings.append(
                training_loop.fit_compiled(training_copy, vectors.train, vectors.val, schedule, silent=silent)
            )
            heads[-1].set_weights(training_copy.get_weights())
        return head.average_heads(heads), training_history.average_trainings(trainings)

    def fit_head(self, train: Samples, seed: int) -> keras.Model:
        """The head of `fit`, faster, without validation and history."""
        heads = []
        for number in range(self.recipe.heads):
            schedule = replace(self.recipe.schedule, seed=seed_of_head(seed, number))
            heads.append(self._start(train, schedule))
            self._trained.train(train, schedule.seed)
            heads[-1].set_weights(self._trained.training_copy.get_weights())
        return head.average_heads(heads)

    @property
    def _trained(self) -> CompiledTraining:
        assert self._compiled is not None  # noqa: S101 - set by _start
        return self._compiled

    def _start(self, train: Samples, schedule: Schedule) -> keras.Model:
        """The head of a seed, and the compiled network in the state of a new copy of it. Each is built once."""
        if schedule.seed not in self._initialized:
            recipe, width = self.recipe, train.inputs.shape[1]
            make_repeatable(schedule.seed, deterministic=recipe.deterministic)
            new = head.build(width, classes=recipe.classes, **vars(recipe.head))
            training_copy = fused_layers.fuse(new, schedule.dtype_policy, for_training=True)
            self._initialized[schedule.seed] = new, [variable.numpy() for variable in training_copy.variables]
            if self._compiled is None:
                steps = batches.steps(len(train.labels), schedule.batch_size)
                self._compiled = CompiledTraining(training_copy, schedule, steps)
        new, values = self._initialized[schedule.seed]
        self._trained.restart(self._trained.training_copy.variables, values)
        return new


def seed_of_head(seed: int, number: int) -> int:
    """The seed of a head: the first has the seed of the training, each other one a seed that no training has."""
    if number == 0:
        return seed
    return _DERIVED + int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % _DERIVED


def fit_last_layers(
    fitted: keras.Model,
    backbone: keras.Model,
    pictures: TrainVal,
    last_layers: LastLayers,
    *,
    checkpoint: Path | None = None,
    on_epoch_end: Callable[[pd.DataFrame], None] | None = None,
) -> tuple[keras.Model, Training]:
    """The second phase: join head and backbone, and train the head and the last layers of the backbone.

    With a head that starts at random the first steps would undo what the backbone knows; this one has been fitted.

    Args:
        fitted: the head after the first phase.
        checkpoint, on_epoch_end: see training_loop.fit; with `on_epoch_end`, there is no progress bar of Keras.
    """
    unfreezing.unfreeze_last_layers(backbone, last_layers.unfreeze, batch_norm=last_layers.batch_norm)
    classifier, schedule = head.join(backbone, fitted), last_layers.schedule
    fuse = partial(fused_layers.fuse, dtype_policy=schedule.dtype_policy, for_training=True)
    if schedule.mixup:
        training_copy, changes = fuse(classifier), augmentation_layers(last_layers.augment, 255)
        training_copy = MixupClassifier(training_copy, changes, alpha=schedule.mixup, seed=schedule.seed)
    else:
        training_copy = fuse(add_augmentation(classifier, last_layers.augment))
    return classifier, training_loop.fit(
        classifier,
        pictures.train,
        pictures.val,
        schedule,
        training_copy=training_copy,
        checkpoint=checkpoint,
        on_epoch_end=on_epoch_end,
        silent=on_epoch_end is not None,
    )
