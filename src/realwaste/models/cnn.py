"""The CNN that the report trains from scratch (section 1.6)."""

import keras
from keras import layers

from realwaste.images.augment import Augment
from realwaste.models.augmentation import augmentation_layers

# In tables, in place of a pretrained model's backbone and weights.
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

    Rescaling to 0..1 is part of the model, so a saved model takes raw pixels. Augmentation is active in training only.

    Args:
        batch_norm_momentum: of the moving statistics that validation and test use. With Keras' 0.99 they converge
            after some 500 steps; a small data set has 140, and the CNN would predict at random.
        normalization: batch, after each convolution, as in the report's listing; or none, as its section 1.6 says.
        activation: of the convolutions and the hidden dense layers, by its name in keras.activations (section 1.8).
        head: flatten, as in the report, with 33.5 M of the weights; or gap, global average pooling.
        dropout: the dropout rate before each hidden dense layer.
        augment: of training images; none by default.
    """
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            *augmentation_layers(augment or Augment(), 1),
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


def _dropout(rate: float) -> list[keras.Layer]:
    return [layers.Dropout(rate)] if rate else []


def _block(filters: int, normalization: str, momentum: float, activation: str) -> list[keras.Layer]:
    return [
        layers.Conv2D(filters, 3, padding="same"),
        *([layers.BatchNormalization(momentum=momentum)] if normalization == "batch" else []),
        layers.ReLU() if activation == "relu" else layers.Activation(activation),
        layers.MaxPooling2D(2),
    ]
