"""A faster copy of a network: the same weights and outputs, with batch normalisation and Adam as fused operations.

What it does. Keras builds batch normalisation and Adam from about a dozen operations each. Each operation passes over a
feature map or over 33.6 M weights, and on a processor memory bandwidth is the bottleneck. `fuse` copies a model with
one operation in place of each dozen, in the requested dtype policy. It also leaves out the bias of a convolution before
a batch normalisation, which subtracts it again. A training step of the report's CNN at 256 px, in milliseconds per
image on two cores with avx512_bf16: Keras' layers 23; fused batch normalisation 15.5; without the bias 11 (oneDNN's
filter gradient takes 13 together with a bias gradient, and 4 alone); in bfloat16 8.8; with fused Adam 6.3.

Why no library does it. XLA fuses operations by itself, but is slower on processors: on two other cores 66.6, against
33.0 with Keras' layers and 18.3 with the fused copy, all in float32. Keras 3.15 has no fused batch normalisation.

When to remove it: when Keras' layers call TensorFlow's fused operations, or when XLA's convolutions are as fast on
processors as oneDNN's. `make bench` measures the whole effect.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from realwaste.runtime.folded_layers import Folding

_FLOAT32_LAYERS = (
    *(layers.Rescaling, layers.Normalization, layers.GlobalAveragePooling2D, layers.RandomFlip, layers.RandomRotation),
    *(layers.RandomZoom, layers.RandomTranslation, layers.RandomColorJitter),
)

HEAD = "head"
"""The name of a nested model that stays in float32: its two small matrices gain nothing from lower precision."""


def fuse(model: keras.Model, dtype_policy: str, *, for_training: bool = False) -> keras.Model:
    """A copy of `model` with fused layers and the same weights in the same order, to train or run but not to save.

    It computes in `dtype_policy`. These parts are cheap and stay in float32: rescaling and augmentation, pooling to one
    vector, the last layer, the last layer of each nested model, and a nested model named HEAD. Results differ from the
    original's by rounding only.

    Args:
        model: functional or sequential; nested models are copied in the same way.
        dtype_policy: float32, mixed_bfloat16 or mixed_float16.
        for_training: whether gradients will be computed; frozen batch normalisation then becomes FrozenBatchNorm.
    """
    float32_layers, without_bias = set(map(id, _float32_by_position(model))), _convolutions_before_batch_norm(model)
    folding = Folding(model if for_training else None)

    def copy(layer: keras.Operation) -> keras.Operation:
        kind, config = type(layer), layer.get_config()
        if isinstance(layer, keras.Layer):
            is_float32 = isinstance(layer, _FLOAT32_LAYERS) or id(layer) in float32_layers
            config["dtype"] = "float32" if is_float32 else dtype_policy
            if (folded := folding.copy(layer, config["dtype"])) is not None:
                return folded
        if kind is layers.BatchNormalization:
            kind = FrozenBatchNorm if for_training and not layer.trainable else BatchNorm
        elif layer.name in without_bias:
            kind = _UnbiasedConv2D
        return kind.from_config(config)

    copied = keras.models.clone_model(model, clone_function=copy, recursive=True)
    copied.set_weights(model.get_weights())
    copied.trainable = model.trainable
    return copied


def _last_layer(model: keras.Model) -> keras.Layer:
    layer = model.layers[-1]
    return _last_layer(layer) if isinstance(layer, keras.Model) else layer


def _float32_by_position(model: keras.Model) -> Iterator[keras.Layer]:
    """Layers that stay in float32 by their position: all of a head; the last layer of the model and of nested models.

    A backbone inside a classifier then outputs the same vectors as the backbone alone, which are cached in float32.
    """
    yield _last_layer(model)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layer.layers if layer.name == HEAD else _float32_by_position(layer)


def _convolutions_before_batch_norm(model: keras.Model) -> set[str]:
    if not isinstance(model, keras.Sequential):
        return set()
    return {
        first.name
        for first, second in pairwise(model.layers)
        if type(first) is layers.Conv2D and isinstance(second, layers.BatchNormalization)
    }


class BatchNorm(layers.BatchNormalization):
    """Batch normalisation as one operation if the input is a feature map; otherwise Keras' implementation."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        if not self.can_be_fused(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        training = bool(training) and self.trainable
        mean, variance, scale, offset = self.tensors()
        outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=[] if training else mean,
            variance=[] if training else variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
            # The operation divides by n - 1, Keras by n.
            self.update_moving(self.moving_mean, batch_mean)
            self.update_moving(self.moving_variance, batch_variance * (count - 1) / count)
        return outputs

    def can_be_fused(self, inputs: tf.Tensor, mask: tf.Tensor | None) -> bool:
        """Whether the input is a feature map (rows, height, width, channels) without a mask."""
        return len(inputs.shape) == 4 and self.axis in {-1, 3} and mask is None

    def tensors(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Moving mean, moving variance, scale and offset, (channels,) each."""
        mean, variance = (tf.convert_to_tensor(value.value) for value in (self.moving_mean, self.moving_variance))
        scale = tf.convert_to_tensor(self.gamma.value) if self.scale else tf.ones_like(mean)
        offset = tf.convert_to_tensor(self.beta.value) if self.center else tf.zeros_like(mean)
        return mean, variance, scale, offset

    def update_moving(self, moving: Any, batch: tf.Tensor) -> None:
        """Move a moving statistic (channels,) towards that of a batch."""
        moving.assign(moving * self.momentum + batch * (1 - self.momentum))


class FrozenBatchNorm(BatchNorm):
    """Frozen batch normalisation in a network that is trained: a fixed scale and offset for each channel.

    Its gradient is that scale. On a GPU with `deterministic: true`, TensorFlow 2.21 refuses to compute the gradient of
    the fused operation in inference mode.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        if not self.can_be_fused(inputs, mask):
            return super().call(inputs, training=False, mask=mask)
        mean, variance, scale, offset = self.tensors()
        slope = scale * tf.math.rsqrt(variance + self.epsilon)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def normalised(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            outputs, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=self.epsilon, is_training=False
            )
            return outputs, lambda upstream: upstream * tf.cast(slope, upstream.dtype)

        return normalised(inputs)


class _UnbiasedConv2D(layers.Conv2D):
    """A convolution before a batch normalisation, which subtracts the mean: a bias has no effect and no gradient."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        if self.use_bias:
            self.bias.trainable = False

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training and self.use_bias:
            return super().call(inputs)
        return self.activation(self.convolution_op(inputs, self.kernel))


class Adam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, 2015) as one fused operation per weight: one pass over weights, gradients and moments."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        step = tf.cast(self.iterations.value + 1, tf.float32)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )
