"""The report's own network (section 1.6)."""

import keras
from keras import layers

from realwaste.models.augmentation import Augment, augmenting

# What tables call it, where a pretrained model has its backbone and weights.
BACKBONE, WEIGHTS = "CNN", "trained from random"


def build(
    image_size: int,
    classes: int,
    *,
    batch_norm_momentum: float,
    normalization: str = "batch",
    activation: str = "relu",
    head: str = "flatten",
    dropout: float = 0.0,
    augment: Augment | None = None,
) -> keras.Model:
    """Uint8 RGB (image_size, image_size, 3) to `classes` probabilities; 33.6 M weights at 256 px and 9 classes.

    The rescaling to 0..1 is inside, so that a saved model takes pixels as they are; augmentation too, which is at work
    in training alone.

    Args:
        batch_norm_momentum: how slowly the statistics that validation and test use follow those of the batches. At
            Keras' 0.99 they need some 500 steps to arrive, and a small set has 140: the CNN then answers at random.
        normalization: batch, after each convolution, as in the report's listing; or none, as its section 1.6 says.
        activation: of the convolutions and the hidden dense layers, by its name in keras.activations (section 1.8).
        head: flatten, the report's, which holds 33.5 M of the weights; or gap, the mean of each feature map.
        dropout: share of the inputs of each hidden dense layer that is left out in training.
    """
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            *augmenting(augment or Augment(), 1),
            *_block(32, normalization, batch_norm_momentum, activation),
            *_block(64, normalization, batch_norm_momentum, activation),
            layers.GlobalAveragePooling2D() if head == "gap" else layers.Flatten(),
            *_dropout(dropout),
            layers.Dense(128, activation=activation),
            *_dropout(dropout),
            layers.Dense(64, activation=activation),
            layers.Dense(classes, activation="softmax"),
        ],
        name="cnn",
    )


def _dropout(share: float) -> list[keras.Layer]:
    return [layers.Dropout(share)] if share else []


def _block(filters: int, normalization: str, momentum: float, activation: str) -> list[keras.Layer]:
    return [
        layers.Conv2D(filters, 3, padding="same"),
        *([layers.BatchNormalization(momentum=momentum)] if normalization == "batch" else []),
        layers.ReLU() if activation == "relu" else layers.Activation(activation),
        layers.MaxPooling2D(2),
    ]
