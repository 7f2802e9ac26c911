"""Fine-tuning (report, section 2.3): a head on cached vectors, and then, if wished, the backbone's end with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from realwaste.dataset.labels import labels_of, paths_of
from realwaste.embedding.embeddings import Embeddings
from realwaste.models.augmentation import Augment, augmented
from realwaste.runtime import fused_layers
from realwaste.runtime.determinism import make_repeatable
from realwaste.training import batches, head, samples, training_history, training_loop, unfreezing
from realwaste.training.samples import Samples
from realwaste.training.training_history import Training
from realwaste.training.training_loop import CompiledTraining, Schedule

_DERIVED = 2**31  # no seed of params.yaml is as large


@dataclass(frozen=True)
class Parts:
    """The same images to learn from and to validate with: vectors of the frozen backbone, or pictures."""

    train: Samples
    val: Samples


@dataclass(frozen=True)
class End:
    """The second phase, in which the end of the backbone learns with the head.

    Attributes:
        layers: which ones, as of unfreezing.unfreeze.
        schedule: of this phase; its seed gives way to that of the training.
        backbone: builds the frozen backbone anew, since each training changes one.
    """

    layers: int | str
    schedule: Schedule
    augment: Augment
    backbone: Callable[[], keras.Model]


@dataclass(frozen=True)
class Recipe:
    """How a classifier is fine-tuned.

    Attributes:
        schedule: of the head; its seed gives way to that of the training.
        deterministic: as of realwaste.runtime.determinism.
        dropout: of the head, as of head.build.
        heads: of which the answer is the mean; each begins and is shuffled otherwise.
        end: the second phase; None for none.
    """

    classes: int
    dense_units: int
    schedule: Schedule
    deterministic: bool
    dropout: float = 0.0
    heads: int = 1
    end: End | None = None


def vectors_of(splits: pd.DataFrame, vectors: Embeddings, views: Sequence[Embeddings] = ()) -> Parts:
    """Cached vectors of the images in `splits`; to learn from, those of their views too, all in memory then."""
    train, val = (Samples(vectors.of(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    if views:
        inputs = np.concatenate([found.of(paths_of(splits, "train"))[:] for found in (vectors, *views)])
        train = Samples(inputs, np.tile(train.labels, 1 + len(views)))
    return Parts(train, val)


def pictures_of(splits: pd.DataFrame, root: Path, size: int) -> Parts:
    """The pictures themselves, root/<path>, decoded in memory."""
    train, val, _ = samples.pictures(splits, root, size, "memory")
    return Parts(train, val)


def fit(recipe: Recipe, vectors: Parts, pictures: Parts | None, seed: int, kept: Path) -> tuple[keras.Model, Training]:
    """A head alone; with its backbone where that has learned too.

    Args:
        pictures: for the second phase, else None.
        kept: a folder for the state of the second phase after each epoch, to go on from if there is one.
    """
    fitted, first = fit_head(vectors, recipe, seed)
    if recipe.end is None or pictures is None:
        return fitted, first
    end = replace(recipe.end, schedule=replace(recipe.end.schedule, seed=seed))
    whole, second = fit_end(fitted, pictures, end, checkpoint=kept / f"seed_{seed}")
    return whole, training_history.joined(first, second)


def fit_head(vectors: Parts, recipe: Recipe, seed: int, *, silent: bool = False) -> tuple[keras.Model, Training]:
    """The first phase: a new head, fitted to vectors; of several, their mean, and the mean of their figures."""
    return HeadTrainer(recipe).fit(vectors, seed, silent=silent)


class HeadTrainer:
    """Fits heads of one recipe to several data sets of the same width, with one compiled network.

    Each fit starts from the weights, the random state and the optimizer state of a new network, so it gives the same
    bits as fit_head.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._compiled: CompiledTraining | None = None

    def fit(self, vectors: Parts, seed: int, *, silent: bool = False) -> tuple[keras.Model, Training]:
        """As fit_head."""
        heads, trained = [], []
        for number in range(self.recipe.heads):
            schedule = replace(self.recipe.schedule, seed=seed_of_head(seed, number))
            heads.append(self._start(vectors, schedule))
            twin = self._twin
            trained.append(training_loop.fit_twin(twin, vectors.train, vectors.val, schedule, silent=silent))
            heads[-1].set_weights(twin.get_weights())
        return head.mean_of(heads), training_history.mean_of(trained)

    @property
    def _twin(self) -> keras.Model:
        assert self._compiled is not None  # noqa: S101 - set by _start
        return self._compiled.twin

    def _start(self, vectors: Parts, schedule: Schedule) -> keras.Model:
        """A new head, and the compiled network in the state that a twin of it would have."""
        recipe, width = self.recipe, vectors.train.inputs.shape[1]
        make_repeatable(schedule.seed, deterministic=recipe.deterministic)
        new = head.build(width, recipe.dense_units, recipe.classes, recipe.dropout)
        twin = fused_layers.twin(new, schedule.dtype_policy, to_train=True)
        if self._compiled is None:
            steps = batches.steps(len(vectors.train.labels), schedule.batch_size)
            self._compiled = CompiledTraining(twin, schedule, steps)
        self._compiled.restart(self._compiled.twin.variables, twin.variables)
        return new


def seed_of_head(seed: int, number: int) -> int:
    """The seed of one of the heads of a mean: of the first, the training's; of each other, one that no training has."""
    if number == 0:
        return seed
    return _DERIVED + int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % _DERIVED


def fit_end(
    fitted: keras.Model, pictures: Parts, end: End, *, checkpoint: Path | None = None
) -> tuple[keras.Model, Training]:
    """The second phase: the whole classifier, of which the head and the backbone's end learn on.

    With a head that starts at random the first steps would undo what the backbone knows; this one has been fitted.

    Args:
        checkpoint: as of fitting.fit.
    """
    backbone = end.backbone()
    unfreezing.unfreeze(backbone, end.layers)
    classifier = head.join(backbone, fitted)
    changing = augmented(classifier, end.augment)
    return classifier, training_loop.fit(changing, pictures.train, pictures.val, end.schedule, checkpoint=checkpoint)
