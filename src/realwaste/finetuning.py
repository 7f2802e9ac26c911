"""Fine-tuning (report, section 2.3): a head on cached vectors, and then, if wished, the backbone's end with it."""

from dataclasses import dataclass
from pathlib import Path

import keras

from realwaste import head, training, unfreezing
from realwaste.augmentation import Augment, augmented
from realwaste.samples import Samples
from realwaste.training import Schedule, Training


@dataclass(frozen=True)
class Parts:
    """The same images to learn from and to validate with: vectors of the frozen backbone, or pictures."""

    train: Samples
    val: Samples


def fit_head(vectors: Parts, dense_units: int, classes: int, schedule: Schedule) -> tuple[keras.Model, Training]:
    """The first phase: a new head, fitted to vectors."""
    built = head.build(vectors.train.inputs.shape[1], dense_units, classes)
    return built, training.fit(built, vectors.train, vectors.val, schedule)


def fit_end(
    backbone: keras.Model,
    fitted: keras.Model,
    pictures: Parts,
    schedule: Schedule,
    *,
    end: int | str,
    augment: Augment,
    checkpoint: Path | None = None,
) -> tuple[keras.Model, Training]:
    """The second phase: the whole classifier, of which the head and the backbone's end learn on.

    With a head that starts at random the first steps would undo what the backbone knows; this one has been fitted.

    Args:
        end: as of unfreezing.unfreeze, whose errors may come.
        checkpoint: as of training.fit.
    """
    unfreezing.unfreeze(backbone, end)
    classifier = head.join(backbone, fitted)
    changing = augmented(classifier, augment)
    return classifier, training.fit(changing, pictures.train, pictures.val, schedule, checkpoint=checkpoint)
