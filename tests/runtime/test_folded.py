"""Folded convolutions have the outputs and gradients of convolution, frozen batch normalisation and ReLU."""

import keras
import lively
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from realwaste.models.efficientnet_lite import build_efficientnet_lite
from realwaste.runtime import folded_layers, fused_layers


def _freeze_batch_norm(model: keras.Model) -> keras.Model:
    for layer in lively.randomize_batch_norm(model):
        layer.trainable = False
    return model


def _compute_gradients(model: keras.Model, pixels: np.ndarray) -> list[np.ndarray]:
    weights = np.random.default_rng(1).normal(size=model(pixels).shape).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(model(pixels, training=True), tf.float32) * weights)
    return [gradient.numpy() for gradient in tape.gradient(loss, model.trainable_weights)]


@pytest.mark.parametrize("relu", [layers.ReLU(6.0), layers.ReLU(), layers.ReLU(negative_slope=0.1), None])
@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {}])
def test_folded_convolutions_equal_the_original_layers(relu, options):
    image = keras.Input((11, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization(**options)(x)
    x = layers.DepthwiseConv2D(3, padding="valid", use_bias=False)(x if relu is None else relu(x))
    model = _freeze_batch_norm(keras.Model(image, layers.BatchNormalization(**options)(x)))
    folded = fused_layers.fuse(model, "float32", for_training=True)
    layer_types = [type(layer).__name__ for layer in folded.layers]
    assert [name for name in layer_types if name.startswith("Folded")] == ["FoldedConv2D", "FoldedDepthwiseConv2D"]
    assert [weight.path for weight in folded.weights] == [weight.path for weight in model.weights]
    pixels = np.random.default_rng(2).normal(size=(3, 11, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(pixels), model(pixels), atol=1e-5)
    for gradient, expected in zip(_compute_gradients(folded, pixels), _compute_gradients(model, pixels), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("sides", [(8, 9), (12, 7)])
def test_composed_depthwise_gradients_equal_those_of_tensorflow(size, stride, padding, sides):
    rng = np.random.default_rng(0)
    inputs, kernel = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((2, *sides, 4), (size, size, 4, 1)))
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = tf.nn.depthwise_conv2d(inputs, kernel, [1, stride, stride, 1], padding)
        upstream = tf.constant(rng.normal(size=outputs.shape), tf.float32)
        loss = tf.reduce_sum(outputs * upstream)
    expected_for_inputs, expected_for_kernel = tape.gradient(loss, [inputs, kernel])
    gradient = folded_layers.input_gradient(upstream, kernel, inputs, stride, padding)
    np.testing.assert_allclose(gradient, expected_for_inputs, atol=1e-4)
    gradient = folded_layers.filter_gradient(inputs, upstream, kernel.shape, stride, padding)
    np.testing.assert_allclose(gradient, expected_for_kernel, atol=1e-4)


def test_a_folded_efficientnet_has_the_same_gradients():
    keras.utils.set_random_seed(0)
    model = _freeze_batch_norm(build_efficientnet_lite("EfficientNetLite0", 64))
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.float32)
    folded = fused_layers.fuse(model, "float32", for_training=True)
    assert not any(isinstance(layer, layers.ReLU) for layer in folded.layers)
    np.testing.assert_allclose(folded(pixels), model(pixels), atol=1e-4 * np.abs(model(pixels)).max())
    for gradient, expected in zip(_compute_gradients(folded, pixels), _compute_gradients(model, pixels), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * np.abs(expected).max())


def test_folded_bfloat16_gradients_are_about_as_accurate_as_unfolded_ones():
    model = _freeze_batch_norm(build_efficientnet_lite("EfficientNetLite0", 64))
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected_gradients = _compute_gradients(model, pixels)

    def mean_error(network: keras.Model) -> float:
        gradients = _compute_gradients(network, pixels)
        pairs = zip(gradients, expected_gradients, strict=True)
        return float(
            np.mean([np.linalg.norm(actual - expected) / np.linalg.norm(expected) for actual, expected in pairs])
        )

    unfolded = fused_layers.fuse(model, "mixed_bfloat16")
    folded = fused_layers.fuse(model, "mixed_bfloat16", for_training=True)
    assert 0 < mean_error(folded) < 1.5 * mean_error(unfolded)


def test_shared_outputs_and_trainable_batch_norm_are_not_folded():
    image = keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 3, use_bias=False)(image)
    normalised = layers.BatchNormalization()(shared)
    trainable = layers.BatchNormalization(name="trainable")(layers.Conv2D(4, 1, use_bias=False)(normalised))
    model = _freeze_batch_norm(keras.Model(image, layers.Add()([shared, normalised, trainable])))
    model.get_layer("trainable").trainable = True
    folded = fused_layers.fuse(model, "float32", for_training=True)
    assert not [layer for layer in folded.layers if type(layer).__name__.startswith(("Folded", "Passing"))]
    pixels = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(pixels), model(pixels), atol=1e-5)
