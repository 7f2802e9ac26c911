"""Grad-CAM heat maps (Selvaraju et al., 2017) on the last feature map before pooling.

The network is split at the last pooling layer: from the image to the last feature map, and from there to the scores.
The gradient of a class's log-odds is taken through the second part alone. Both parts share the layers and weights of
the model. If the pooling layer is inside a nested model, such as a backbone, the split goes through the nested model.

No library is used: tf-keras-vis 0.8.7 looks up the feature map's tensor in the outer model, where Keras 3 does not find
tensors of a nested model ("not connected to `inputs`"). Libraries also differentiate the score after the softmax, whose
gradient vanishes where a model is confident. This module could be dropped if Keras exposed the tensors of nested
models.
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
    """Computes heat maps of one classifier, without its test-time augmentation. Build it once for many calls."""

    def __init__(self, classifier: keras.Model) -> None:
        self._to_map, rest = _split_at_pooling(_as_functional(test_time_augmentation.single_view_model(classifier)))
        # The gradient of a probability near 1 vanishes; that of the score before the softmax does not.
        self._to_scores = _without_softmax(rest)

    def heat(self, pixels: Pixels, classes: NDArray[np.integer]) -> Heat:
        """Heat maps (n, rows, columns) from 0 to 1: how much each position supports the class of its image.

        Args:
            pixels: (n, height, width, 3), uint8 RGB at the classifier's image size.
            classes: (n,), a class index for each image. The map is 0 everywhere if no position supports the class.
        """
        maps = tf.convert_to_tensor(self._to_map.predict_on_batch(pixels))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            odds = _class_log_odds(self._to_scores(maps, training=False), classes)
        weights = tf.reduce_mean(tape.gradient(odds, maps), axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)).numpy()
        highest = heat.max(axis=(1, 2), keepdims=True)
        return np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0)


def _class_log_odds(scores: tf.Tensor, classes: NDArray[np.integer]) -> tf.Tensor:
    """The log-odds (n,) of a class against all others.

    A single score is not enough: adding a constant to all scores changes no prediction, and Grad-CAM of the score is 0
    everywhere if a position lowers all scores, even if it lowers its class's score least.
    """
    target = tf.one_hot(classes, scores.shape[-1], on_value=True, off_value=False)
    other_scores = tf.where(target, scores.dtype.min, scores)
    return tf.boolean_mask(scores, target) - tf.reduce_logsumexp(other_scores, axis=-1)


def _as_functional(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs, model.outputs) if isinstance(model, keras.Sequential) else model


def _split_at_pooling(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Two models that share the layers of `model`: from the input to the last feature map, and from there on."""
    pooling = [layer for layer in model.layers if _pools_map_to_vector(layer)][-1]
    map_tensors: list[Any] = []

    def call(layer: keras.Layer, *inputs: Any, **options: Any) -> Any:
        if layer is not pooling:
            return layer(*inputs, **options)
        if isinstance(layer, keras.Model):
            before, after = _split_at_pooling(_as_functional(layer))
            map_tensors.append(before(inputs[0], training=False))
            return after(map_tensors[0], training=False)
        map_tensors.append(inputs[0])
        return layer(*inputs)

    traced = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(traced.inputs, map_tensors[0]), keras.Model(map_tensors[0], traced.outputs[0])


def _pools_map_to_vector(layer: keras.Layer) -> bool:
    shapes = [tensor.shape for tensor in keras.tree.flatten([layer.input, layer.output])]
    return [len(shape) for shape in shapes] == [4, 2]


def _without_softmax(model: keras.Model) -> keras.Model:
    last = model.layers[-1]

    def copy(layer: keras.Layer) -> keras.Layer:
        if layer is last and isinstance(layer, keras.Model):
            return _without_softmax(_as_functional(layer))
        # A mean of several heads has softmax layers before its last layer.
        if getattr(layer, "activation", None) is not keras.activations.softmax:
            return layer
        linear = type(layer).from_config(layer.get_config() | {"activation": "linear"})
        linear.build(layer.input.shape)
        linear.set_weights(layer.get_weights())
        return linear

    return keras.models.clone_model(model, clone_function=copy)
