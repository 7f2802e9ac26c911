"""Where a classifier looks: Grad-CAM (Selvaraju et al., 2017) on the last map before pooling.

What it does. The network is split in two at the last pooling: from the picture to the last feature map, and from there
to the scores. The first part runs as it is, and the gradient of a class's log-odds is taken through the second alone.
The layers are the model's own, without a copy of the weights; a pooling inside a nested model, as a backbone in a
classifier is, is found there, and the split goes through the nested model.

Why no library does it. tf-keras-vis 0.8.7 asks for the map's tensor in the outer model, where Keras 3 does not find one
of a nested model ("not connected to `inputs`"); and libraries take the score after the softmax, which has no gradient
left where a model is sure.

What would make it superfluous: a backbone whose layers lie in the classifier itself, or a Keras that gives the tensors
of nested models.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.images.reader import Pixels
from realwaste.models import test_time_augmentation

Heat = NDArray[np.float32]


class GradCam:
    """Heat maps of one classifier, without the other views that it may have; built once, asked often."""

    def __init__(self, classifier: keras.Model) -> None:
        self._to_map, rest = _split(_functional(test_time_augmentation.single(classifier)))
        # A probability near 1 has no gradient left; the score before the softmax has.
        self._to_scores = _without_softmax(rest)

    def heat(self, pixels: Pixels, classes: NDArray[np.integer]) -> Heat:
        """How much each place speaks for a class: (n, rows, columns), 0 to 1 in each picture.

        Args:
            pixels: (n, height, width, 3) as the classifier takes them.
            classes: (n,), the class number to ask for in each. A map that is 0 everywhere speaks nowhere for it.
        """
        maps = tf.convert_to_tensor(self._to_map.predict_on_batch(pixels))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            odds = _log_odds(self._to_scores(maps, training=False), classes)
        weights = tf.reduce_mean(tape.gradient(odds, maps), axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)).numpy()
        highest = heat.max(axis=(1, 2), keepdims=True)
        return np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0)


def _log_odds(scores: tf.Tensor, classes: NDArray[np.integer]) -> tf.Tensor:
    """Of a class against the others. A score alone means nothing: adding the same to all changes no answer.

    Where a place lowers all scores, and its class's the least, Grad-CAM of the bare score is 0 everywhere.
    """
    asked = tf.one_hot(classes, scores.shape[-1], on_value=True, off_value=False)
    others = tf.where(asked, scores.dtype.min, scores)
    return tf.boolean_mask(scores, asked) - tf.reduce_logsumexp(others, axis=-1)


def _functional(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs, model.outputs) if isinstance(model, keras.Sequential) else model


def _split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Up to the last feature map, and from there on; the layers are the model's own, those inside nested ones too."""
    pooling = [layer for layer in model.layers if _pools(layer)][-1]
    found: list[Any] = []

    def call(layer: keras.Layer, *inputs: Any, **options: Any) -> Any:
        if layer is not pooling:
            return layer(*inputs, **options)
        if isinstance(layer, keras.Model):
            before, after = _split(_functional(layer))
            found.append(before(inputs[0], training=False))
            return after(found[0], training=False)
        found.append(inputs[0])
        return layer(*inputs)

    whole = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(whole.inputs, found[0]), keras.Model(found[0], whole.outputs[0])


def _pools(layer: keras.Layer) -> bool:
    shapes = [tensor.shape for tensor in keras.tree.flatten([layer.input, layer.output])]
    return [len(shape) for shape in shapes] == [4, 2]


def _without_softmax(model: keras.Model) -> keras.Model:
    last = model.layers[-1]

    def copy(layer: keras.Layer) -> keras.Layer:
        if layer is last and isinstance(layer, keras.Model):
            return _without_softmax(_functional(layer))
        # Several heads have theirs before the last layer, which is their mean.
        if getattr(layer, "activation", None) is not keras.activations.softmax:
            return layer
        linear = type(layer).from_config(layer.get_config() | {"activation": "linear"})
        linear.build(layer.input.shape)
        linear.set_weights(layer.get_weights())
        return linear

    return keras.models.clone_model(model, clone_function=copy)
