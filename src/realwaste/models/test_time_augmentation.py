"""Test-time augmentation: a classifier that averages its probabilities over several views of an image.

The views are the unchanged image, mirror images and the enlarged middle. They are part of the model, so calibration,
`predict`, `serve` and every export use what was tested.
"""

import keras
import numpy as np
from keras import layers, ops

NONE = "none"
# The axes of (n, height, width, 3) along which each view is mirrored; the share of each side that a view shows.
_AXES: dict[str, list[tuple[int, ...]]] = {NONE: [()], "horizontal": [(), (2,)], "both": [(), (1,), (2,), (1, 2)]}
_SHARES = {NONE: [1.0], "middle": [1.0, 0.75]}
_SINGLE_VIEW = "one_view"


def average_views(classifier: keras.Model, flips: str, crops: str = NONE) -> keras.Model:
    """A classifier of the mean probabilities over all views; it takes as many times longer as there are views.

    Args:
        flips: none: no mirror images | horizontal: 2 views | both: 4, mirrored each way and both ways.
        crops: none: the whole image | middle: twice the views, also of the middle three quarters, enlarged.
    """
    if (flips, crops) == (NONE, NONE):
        return classifier
    image = keras.Input(classifier.input_shape[1:], dtype=classifier.inputs[0].dtype, name="image")
    single_view = keras.Model(classifier.inputs, classifier.outputs[0], name=_SINGLE_VIEW)
    views = _views(image, flips, crops)
    probabilities = single_view(layers.Concatenate(axis=0)(views))
    by_view = ops.reshape(probabilities, (len(views), -1, probabilities.shape[-1]))
    return keras.Model(image, ops.mean(by_view, axis=0), name=classifier.name)


def batch_size(views_in_memory: int, flips: str, crops: str = NONE) -> int:
    """How many images to predict at once with these views, if memory is enough for `views_in_memory` single views."""
    return max(1, views_in_memory // _count_views(flips, crops))


def _count_views(flips: str, crops: str) -> int:
    return len(_AXES[flips]) * len(_SHARES[crops])


def single_view_model(classifier: keras.Model) -> keras.Model:
    """The classifier that `average_views` was given; it shares the weights."""
    return next((layer for layer in classifier.layers if layer.name == _SINGLE_VIEW), classifier)


def views_model(classifier: keras.Model) -> keras.Model:
    """A network of images to the list of views that `classifier` averages over; the first is the unchanged image.

    It is built anew: older model files mirror along two axes at once, which OpenVINO 2026.4 cannot convert.
    """
    layer_by_type = {type(layer): layer for layer in classifier.layers}
    crops = "middle" if layers.Cropping2D in layer_by_type else NONE
    count = len(layer_by_type[layers.Concatenate].input)
    flips = next(flips for flips in _AXES if _count_views(flips, crops) == count)
    image = keras.Input(classifier.input_shape[1:], dtype=classifier.inputs[0].dtype, name="image")
    return keras.Model(image, _views(image, flips, crops))


def _views(image: keras.KerasTensor, flips: str, crops: str) -> list[keras.KerasTensor]:
    views = []
    for cropped in [_crop_middle(image, share) for share in _SHARES[crops]]:
        for axes in _AXES[flips]:
            view = cropped
            for axis in axes:
                view = ops.flip(view, axis)
            views.append(view)
    return views


def _crop_middle(image: keras.KerasTensor, share: float) -> keras.KerasTensor:
    """The middle, enlarged to the size of the image and rounded to integers, which every precision holds exactly."""
    if share == 1:
        return image
    height, width = image.shape[1:3]
    cut = layers.Cropping2D(tuple(round((1 - share) / 2 * side) for side in (height, width)))(image)
    large = _enlarge(_enlarge(ops.cast(cut, "float32"), width, axis=2), height, axis=1)
    return ops.cast(ops.round(large), image.dtype)


def _enlarge(image: keras.KerasTensor, size: int, axis: int) -> keras.KerasTensor:
    """Resize bilinearly to `size` pixels along an axis.

    Not ops.image.resize: tf2onnx 1.17 turns its size into a float32 factor, and rounding then loses a pixel.
    """
    side = image.shape[axis]
    place = np.clip((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(side / size) - 0.5, 0, side - 1)
    before = np.floor(place).astype(np.int32)
    share = (place - before).astype(np.float32).reshape([-1] + [1] * (3 - axis))
    low, high = (ops.take(image, rows, axis=axis) for rows in (before, np.minimum(before + 1, side - 1)))
    return low + (high - low) * share
