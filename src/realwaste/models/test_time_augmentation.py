"""Test-time views: a classifier that asks itself about a picture in several ways, and answers with the mean.

As it is, mirrored, and its middle alone, larger. The views are part of the model. So its temperature is fitted to these
answers, and `predict`, `serve` and every export give what was tested.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

NONE = "none"
# The axes of (n, height, width, 3) that each view is turned round in; and the share of a side that each view shows.
_AXES: dict[str, list[tuple[int, ...]]] = {NONE: [()], "horizontal": [(), (2,)], "both": [(), (1,), (2,), (1, 2)]}
_SHARES = {NONE: [1.0], "middle": [1.0, 0.75]}
_CORE = "one_view"


def averaged(classifier: keras.Model, flips: str, crops: str = NONE) -> keras.Model:
    """`classifier` with the mean of its probabilities for each view; as many times its work as there are views.

    Args:
        flips: none: no mirror images | horizontal: 2 views | both: 4, mirrored each way and both ways.
        crops: none: the whole picture | middle: twice the views, of its middle three quarters too, enlarged.
    """
    if (flips, crops) == (NONE, NONE):
        return classifier
    image = keras.Input(classifier.input_shape[1:], dtype=classifier.inputs[0].dtype, name="image")
    core = keras.Model(classifier.inputs, classifier.outputs[0], name=_CORE)
    seen = _views(image, flips, crops)
    answers = core(layers.Concatenate(axis=0)(seen))
    apart = ops.reshape(answers, (len(seen), -1, answers.shape[-1]))
    return keras.Model(image, ops.mean(apart, axis=0), name=classifier.name)


def batch_size(pictures: int, flips: str, crops: str = NONE) -> int:
    """How many pictures to ask about at once, with these views, where memory is enough for `pictures` of one view."""
    return max(1, pictures // len(shown(flips, crops)))


def shown(flips: str, crops: str) -> list[tuple[float, tuple[int, ...]]]:
    """Of each view in order the share of a side that it shows, and the axes that it is mirrored along."""
    return [(share, axes) for share in _SHARES[crops] for axes in _AXES[flips]]


def single(classifier: keras.Model) -> keras.Model:
    """The classifier of one view that `averaged` was given, which has the same weights."""
    return next((layer for layer in classifier.layers if layer.name == _CORE), classifier)


def views(classifier: keras.Model) -> keras.Model:
    """Pictures to a list of the views that a classifier of several gives the mean for, first the pictures as they are.

    Made anew: OpenVINO (2026.4) takes no mirroring along two axes at once, which older files have.
    """
    kinds = {type(layer): layer for layer in classifier.layers}
    crops = "middle" if layers.Cropping2D in kinds else NONE
    count = len(kinds[layers.Concatenate].input)
    flips = next(own for own in _AXES if len(shown(own, crops)) == count)
    image = keras.Input(classifier.input_shape[1:], dtype=classifier.inputs[0].dtype, name="image")
    return keras.Model(image, _views(image, flips, crops))


def _views(image: keras.KerasTensor, flips: str, crops: str) -> list[keras.KerasTensor]:
    cuts = {share: _middle(image, share) for share in _SHARES[crops]}
    return [_mirrored(cuts[share], axes) for share, axes in shown(flips, crops)]


def _mirrored(image: keras.KerasTensor, axes: Sequence[int]) -> keras.KerasTensor:
    for axis in axes:
        image = ops.flip(image, axis)
    return image


def _middle(image: keras.KerasTensor, share: float) -> keras.KerasTensor:
    """Pictures of the same size, in whole numbers as those that are read: any precision holds them exactly."""
    if share == 1:
        return image
    height, width = image.shape[1:3]
    cut = layers.Cropping2D(tuple(round((1 - share) / 2 * side) for side in (height, width)))(image)
    large = _enlarged(_enlarged(ops.cast(cut, "float32"), width, axis=2), height, axis=1)
    return ops.cast(ops.round(large), image.dtype)


def _enlarged(image: keras.KerasTensor, size: int, axis: int) -> keras.KerasTensor:
    """To `size` pixels along an axis, bilinearly.

    By hand: of ops.image.resize tf2onnx (1.17) makes a factor in float32, and a pixel less where that is rounded down.
    """
    side = image.shape[axis]
    place = np.clip((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(side / size) - 0.5, 0, side - 1)
    before = np.floor(place).astype(np.int32)
    share = (place - before).astype(np.float32).reshape([-1] + [1] * (3 - axis))
    low, high = (ops.take(image, rows, axis=axis) for rows in (before, np.minimum(before + 1, side - 1)))
    return low + (high - low) * share
