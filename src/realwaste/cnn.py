"""The report's own network (section 1.6)."""

from dataclasses import dataclass

import keras
from keras import layers

# What tables call it, where a pretrained model has its backbone and weights.
BACKBONE, WEIGHTS = "CNN", "trained from random"


@dataclass(frozen=True)
class Augment:
    """How much a training picture may differ from its file; nothing by default, as in the report.

    Attributes:
        flip: mirror it, each way half of the time.
        rotate: up to this share of a full turn, either way.
        zoom: in or out by up to this share.
        color: brightness, contrast and saturation by up to this share, hue by a tenth of it.
    """

    flip: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    color: float = 0.0


def build(
    image_size: int,
    classes: int,
    *,
    batch_norm_momentum: float,
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
        head: flatten, the report's, which holds 33.5 M of the weights; or gap, the mean of each feature map.
        dropout: share of the inputs of each hidden dense layer that is left out in training.
    """
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            *_augmenting(augment or Augment()),
            *_block(32, batch_norm_momentum),
            *_block(64, batch_norm_momentum),
            layers.GlobalAveragePooling2D() if head == "gap" else layers.Flatten(),
            *_dropout(dropout),
            layers.Dense(128, activation="relu"),
            *_dropout(dropout),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ],
        name="cnn",
    )


def _dropout(share: float) -> list[keras.Layer]:
    return [layers.Dropout(share)] if share else []


def _augmenting(augment: Augment) -> list[keras.Layer]:
    drawn: list[keras.Layer] = []
    if augment.flip:
        drawn.append(layers.RandomFlip("horizontal_and_vertical"))
    if augment.rotate:
        drawn.append(layers.RandomRotation(augment.rotate, fill_mode="reflect"))
    if augment.zoom:
        drawn.append(layers.RandomZoom(augment.zoom, fill_mode="reflect"))
    if augment.color:
        share = augment.color
        drawn.append(
            layers.RandomColorJitter(
                value_range=(0, 1),
                brightness_factor=share,
                contrast_factor=share,
                saturation_factor=(max(0.0, 0.5 - share / 2), min(1.0, 0.5 + share / 2)),
                hue_factor=share / 10,
            )
        )
    return drawn


def _block(filters: int, momentum: float) -> list[keras.Layer]:
    return [
        layers.Conv2D(filters, 3, padding="same"),
        layers.BatchNormalization(momentum=momentum),
        layers.ReLU(),
        layers.MaxPooling2D(2),
    ]
