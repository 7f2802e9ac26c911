"""The report's own network (section 1.6)."""

import keras
from keras import layers


def build(image_size: int, classes: int) -> keras.Model:
    """Uint8 RGB (image_size, image_size, 3) to `classes` probabilities; 33.6 M weights at 256 px and 9 classes.

    The rescaling to 0..1 is inside, so that a saved model takes pixels as they are.
    """
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            *_block(32),
            *_block(64),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ],
        name="cnn",
    )


def _block(filters: int) -> list[keras.Layer]:
    return [
        layers.Conv2D(filters, 3, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(2),
    ]
