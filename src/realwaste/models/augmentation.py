"""Pictures changed a little for training, inside the model."""

from dataclasses import dataclass

import keras
from keras import layers


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


def augmenting(augment: Augment, highest: float) -> list[keras.Layer]:
    """Layers that draw the changes in training and do nothing else; none where nothing is to change.

    Args:
        highest: the brightest value of a picture, 1 or 255.
    """
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
                value_range=(0, highest),
                brightness_factor=share,
                contrast_factor=share,
                saturation_factor=(max(0.0, 0.5 - share / 2), min(1.0, 0.5 + share / 2)),
                hue_factor=share / 10,
            )
        )
    return drawn


def augmented(classifier: keras.Model, augment: Augment) -> keras.Model:
    """`classifier`, of pictures in 0 to 255, behind the layers that change them; to train, and not to save."""
    drawn = augmenting(augment, 255)
    if not drawn:
        return classifier
    image = keras.Input(classifier.input_shape[1:], dtype="float32")
    changed = image
    for layer in drawn:
        changed = layer(changed)
    return keras.Model(image, classifier(changed))
