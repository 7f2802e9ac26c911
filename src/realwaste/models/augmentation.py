"""Random augmentation of training images by layers of the model."""

import keras
from keras import layers

from realwaste.images.augment import Augment


def augmentation_layers(augment: Augment, max_value: float) -> list[keras.Layer]:
    """Layers that change images randomly in training only; `max_value` of a pixel is 1 or 255."""
    added: list[keras.Layer] = []
    if augment.flip:
        added.append(layers.RandomFlip("horizontal" if augment.flip == "horizontal" else "horizontal_and_vertical"))
    if augment.rotate:
        added.append(layers.RandomRotation(augment.rotate, fill_mode="reflect"))
    if augment.zoom:
        added.append(layers.RandomZoom(augment.zoom, fill_mode="reflect"))
    if augment.shift:
        added.append(layers.RandomTranslation(augment.shift, augment.shift, fill_mode="reflect"))
    if augment.color:
        share = augment.color
        added.append(
            layers.RandomColorJitter(
                value_range=(0, max_value),
                brightness_factor=share,
                contrast_factor=share,
                # Keras multiplies the saturation by f / (1 - f): here by 1 - share to 1 + share.
                saturation_factor=((1 - share) / (2 - share), (1 + share) / (2 + share)),
                hue_factor=share / 10,
            )
        )
    return added


def add_augmentation(classifier: keras.Model, augment: Augment) -> keras.Model:
    """`classifier`, which takes pixels in 0..255, with augmentation layers before it; to train, not to save."""
    added = augmentation_layers(augment, 255)
    if not added:
        return classifier
    image = keras.Input(classifier.input_shape[1:], dtype="float32")
    augmented = image
    for layer in added:
        augmented = layer(augmented)
    return keras.Model(image, classifier(augmented))
