"""Test-time flips: a classifier that asks itself about a picture and its mirror images, and answers with the mean.

They are part of the model. So its temperature is fitted to these answers, and `predict`, `serve` and every export give
what was tested.
"""

import keras
from keras import layers, ops

from realwaste.classifier.mirrors import AXES

NONE = "none"
_VIEWS = {NONE: 1, "horizontal": 2, "both": 4}
_CORE = "one_view"


def averaged(classifier: keras.Model, flips: str) -> keras.Model:
    """`classifier` with the mean of its probabilities for each view; as many times its work as there are views.

    Args:
        flips: none: the classifier itself | horizontal: 2 views | both: 4, mirrored each way and both ways.
    """
    if flips == NONE:
        return classifier
    image = keras.Input(classifier.input_shape[1:], dtype=classifier.inputs[0].dtype, name="image")
    views = [ops.flip(image, axes) if axes else image for axes in AXES[_VIEWS[flips]]]
    core = keras.Model(classifier.inputs, classifier.outputs[0], name=_CORE)
    answers = core(layers.Concatenate(axis=0)(views))
    apart = ops.reshape(answers, (len(views), -1, answers.shape[-1]))
    return keras.Model(image, ops.mean(apart, axis=0), name=classifier.name)


def batch_size(pictures: int, flips: str) -> int:
    """How many pictures to ask about at once, with these flips, where memory is enough for `pictures` of one view."""
    return max(1, pictures // _VIEWS[flips])


def single(classifier: keras.Model) -> keras.Model:
    """The classifier of one view that `averaged` was given, which has the same weights."""
    return next((layer for layer in classifier.layers if layer.name == _CORE), classifier)
