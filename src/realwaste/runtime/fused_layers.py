"""The twin of a network: the same weights and the same answers, in layers that go over memory fewer times.

What it does. Keras builds batch normalisation and Adam from a dozen operations each, every one a pass over a feature
map or over 33.6 M weights, and on a processor memory is what they wait for. `twin` copies a model with one operation in
place of each dozen, without the bias of a convolution before a batch normalisation, which takes it out again, and in
the dtype policy asked for. A training step of the report's CNN at 256 px, milliseconds an image, two cores with
avx512_bf16: Keras' layers 23; batch normalisation as one operation 15.5; without the bias 11 (oneDNN's filter gradient
takes 13 fused with a bias gradient, and 4 alone); in bfloat16 8.8; with Adam as one operation 6.3.

Why no library does it. XLA, which fuses operations by itself, makes processors slower: on two other cores 66.6 against
33.0 of Keras' layers and 18.3 of the twin, all in float32. Keras 3.15 has no fused batch normalisation.

What would make it superfluous: layers of Keras that call TensorFlow's fused operations, or XLA's convolutions becoming
as fast on processors as oneDNN's. `make bench` measures the whole of it.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import keras
import tensorflow as tf
from keras import layers

_EXACT = (
    layers.Rescaling,
    layers.Normalization,
    layers.GlobalAveragePooling2D,
    layers.RandomFlip,
    layers.RandomRotation,
    layers.RandomZoom,
    layers.RandomColorJitter,
)


HEAD = "head"
"""The name of a nested model that keeps float32: two small matrices on a backbone's vectors gain nothing."""


def twin(model: keras.Model, dtype_policy: str, *, to_train: bool = False) -> keras.Model:
    """A copy of `model` with the same weights in the same order, to train or to run and not to save.

    It computes in `dtype_policy`, but for scaling and augmentation at the start, pooling to one vector, the last layer,
    that of each nested model, and a nested model named HEAD: these are cheap, and keep float32. Batch normalisation and
    Adam's arithmetic are fused; the results differ by rounding alone.

    Args:
        model: functional or sequential, as everything here is; nested models are copied likewise.
        dtype_policy: float32, mixed_bfloat16 or mixed_float16.
        to_train: whether gradients are to go through it; FrozenBatchNorm then stands for what is frozen.
    """
    exact, unbiased = set(map(id, _in_full(model))), _before_batch_norm(model)

    def copy(layer: keras.Operation) -> keras.Operation:
        kind, config = type(layer), layer.get_config()
        if isinstance(layer, keras.Layer):
            config["dtype"] = "float32" if isinstance(layer, _EXACT) or id(layer) in exact else dtype_policy
        if kind is layers.BatchNormalization:
            kind = FrozenBatchNorm if to_train and not layer.trainable else BatchNorm
        elif layer.name in unbiased:
            kind = _UnbiasedConv2D
        return kind.from_config(config)

    copied = keras.models.clone_model(model, clone_function=copy, recursive=True)
    copied.set_weights(model.get_weights())
    copied.trainable = model.trainable
    return copied


def _last(model: keras.Model) -> keras.Layer:
    layer = model.layers[-1]
    return _last(layer) if isinstance(layer, keras.Model) else layer


def _in_full(model: keras.Model) -> Iterator[keras.Layer]:
    """What keeps float32 by its place: all of a head; the last layer of the model and of each nested one.

    So a backbone gives a head within a classifier the vectors that it gives alone, which are cached in float32.
    """
    yield _last(model)
    for part in model.layers:
        if isinstance(part, keras.Model):
            yield from part.layers if part.name == HEAD else _in_full(part)


def _before_batch_norm(model: keras.Model) -> set[str]:
    if not isinstance(model, keras.Sequential):
        return set()
    return {
        first.name
        for first, second in pairwise(model.layers)
        if type(first) is layers.Conv2D and isinstance(second, layers.BatchNormalization)
    }


class BatchNorm(layers.BatchNormalization):
    """Batch normalisation as one operation where the input is a feature map; elsewhere Keras' own, of a dozen."""

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
            self.follow(self.moving_mean, batch_mean)
            self.follow(self.moving_variance, batch_variance * (count - 1) / count)
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

    def follow(self, moving: Any, batch: tf.Tensor) -> None:
        """Move a moving statistic (channels,) towards that of a batch."""
        moving.assign(moving * self.momentum + batch * (1 - self.momentum))


class FrozenBatchNorm(BatchNorm):
    """Batch normalisation that stays as it is while other layers learn: a fixed scale and offset for each channel.

    Its gradient is that scale. TensorFlow's own gradient of the fused operation is refused on a GPU with
    `deterministic: true`, where the operation does not train (TensorFlow 2.21).
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
    """Before a batch normalisation, which subtracts the mean: no bias has an effect there, or ever a gradient."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        if self.use_bias:
            self.bias.trainable = False

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training and self.use_bias:
            return super().call(inputs)
        return self.activation(self.convolution_op(inputs, self.kernel))


class Adam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, 2015) in one pass over weights, gradients and moments: 33.6 M of each in the CNN."""

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
