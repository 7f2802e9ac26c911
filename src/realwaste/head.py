"""The classifier on a backbone's vectors (report, section 2.2), alone for training and joined for use."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
from keras import layers

from realwaste import arrays

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


def save_weights(path: Path, heads: Sequence[keras.Model]) -> None:
    """The weights of heads of one shape, those of the first before those of the second."""
    arrays.write(path, [weight for head in heads for weight in head.get_weights()])


def with_weights(head: keras.Model, path: Path) -> Iterator[keras.Model]:
    """`head` with the weights of each of those that `save_weights` wrote, one after the other."""
    stored, each = arrays.read(path) or [], len(head.get_weights())
    for start in range(0, len(stored), each):
        head.set_weights(stored[start : start + each])
        yield head


def of(classifier: keras.Model) -> keras.Model:
    """The head of a joined model, to be fed cached vectors."""
    return classifier.get_layer(NAME)
