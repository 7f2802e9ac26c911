"""The classifier on a backbone's vectors (report, section 2.2), alone for training and joined for use."""

import keras
from keras import layers

NAME = "head"


def build(width: int, dense_units: int, classes: int) -> keras.Model:
    """Vectors (width,) to `classes` probabilities, by one hidden layer."""
    return keras.Sequential(
        [
            keras.Input((width,)),
            layers.Dense(dense_units, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ],
        name=NAME,
    )


def join(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """The model to use: RGB pictures in, probabilities out, preprocessing inside."""
    return keras.Model(backbone.input, head(backbone(backbone.input, training=False)), name="classifier")


def of(classifier: keras.Model) -> keras.Model:
    """The head of a joined model, to be fed cached vectors."""
    return classifier.get_layer(NAME)
