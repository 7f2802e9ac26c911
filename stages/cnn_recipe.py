"""The CNN as the section train_cnn of params.yaml has it: its network, and how it is trained."""

from typing import TYPE_CHECKING

from realwaste.models import cnn
from realwaste.models.augmentation import Augment
from realwaste.training.training_loop import Schedule

if TYPE_CHECKING:
    import keras

    from stages.launcher.params import TrainCnn


def model(own: "TrainCnn", classes: int) -> "keras.Model":
    return cnn.build(
        own.image_size,
        classes,
        batch_norm_momentum=own.batch_norm_momentum,
        normalization=own.normalization,
        activation=own.activation,
        head=own.head,
        dropout=own.dropout,
        augment=Augment(**own.augment.model_dump()),
    )


def schedule(own: "TrainCnn", seed: int, policy: str) -> Schedule:
    return Schedule(
        own.epochs,
        own.batch_size,
        own.learning_rate,
        own.shuffle,
        seed,
        dtype_policy=policy,
        optimizer=own.optimizer,
        decay=own.decay,
        weight_decay=own.weight_decay,
        label_smoothing=own.label_smoothing,
        class_weights=own.class_weights,
        patience=own.patience,
    )
