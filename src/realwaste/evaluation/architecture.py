"""A classifier as a table of its layers or blocks: shapes, parameters, multiply-adds (report, fig. 7 and 8, 1.6, 1.7).

A backbone's hundreds of layers are told in the blocks of its paper where its layers' names show them: DenseNet121's
dense blocks and transitions (Huang et al., 2017), InceptionResNetV2's stem, A, B, C and reductions (Szegedy et al.,
2017). Any other is told by the size of its feature maps.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log2, prod
from operator import itemgetter

import keras
import pandas as pd
from keras import layers

from realwaste.models import test_time_augmentation
from realwaste.runtime.fused_layers import HEAD

COLUMNS = ["block", "units", "layers", "trained_layers", "output", "parameters", "trained_parameters", "multiply_adds"]
_COSTS = ["layers", "trained_layers", "multiply_adds"]
POOLING = "Global average pooling"

# For each block, in order: what the names of its layers begin with, its units' numbers in parentheses. Layers without a
# name of their own (conv2d_7) belong to the block of the next one that has one: where branches meet.
_DENSENET = (
    (r"conv1|pool1", "Stem"),
    (r"conv2_block(\d+)", "Dense block 1"),
    (r"pool2_", "Transition 1"),
    (r"conv3_block(\d+)", "Dense block 2"),
    (r"pool3_", "Transition 2"),
    (r"conv4_block(\d+)", "Dense block 3"),
    (r"pool4_", "Transition 3"),
    (r"conv5_block(\d+)", "Dense block 4"),
    (r"bn$|relu$", "Last normalization"),
)
_INCEPTION_RESNET_V2 = (
    (r"max_pooling2d", "Stem"),
    (r"mixed_5b", "Inception-A"),
    (r"block35_(\d+)", "Inception-ResNet-A"),
    (r"mixed_6a", "Reduction-A"),
    (r"block17_(\d+)", "Inception-ResNet-B"),
    (r"mixed_7a", "Reduction-B"),
    (r"block8_(\d+)", "Inception-ResNet-C"),
    (r"conv_7b", "Last convolution"),
)
Plan = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class _Part:
    """Layers that are told as one; `units` of a kind, one after the other."""

    name: str
    layers: Sequence[keras.Layer]
    units: int = 1


def layer_table(classifier: keras.Model) -> pd.DataFrame:
    """COLUMNS, a row for each layer of the CNN, or for each block of a backbone and each layer of the head.

    `output` is the shape of the last layer without the batch; multiply-adds are those of one picture, in convolutions
    and dense layers, at the size that the classifier takes. What scales or changes the input is left out.
    """
    one_view = test_time_augmentation.single(classifier)
    parts = {layer.name: layer for layer in one_view.layers}
    if HEAD in parts:
        backbone = _sized(parts["backbone"], one_view.input_shape[1:])
        told = [
            *group_into_blocks(list(leaf_layers(backbone))),
            *(_Part(_kind(layer), [layer]) for layer in parts[HEAD].layers),
        ]
    else:
        told = [_Part(_kind(layer), [layer]) for layer in leaf_layers(one_view) if not _changes_input(layer)]
    return pd.DataFrame([_row(part) for part in told], columns=COLUMNS)


def total_costs(told: pd.DataFrame) -> dict[str, int]:
    """layers, trained_layers and multiply_adds of a classifier, from its table."""
    return {name: int(told[name].sum()) for name in _COSTS}


def leaf_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a model and of those nested in it, each after what it is fed by; inputs left out."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        elif not isinstance(layer, layers.InputLayer):
            yield layer


def count_multiply_adds(layer: keras.Layer) -> int:
    """Of one picture: each number in a kernel as often as there are places where it is applied; 0 without a kernel."""
    names = ("kernel", "depthwise_kernel", "pointwise_kernel")  # the last two of separable convolutions
    count = sum(prod(getattr(layer, name).shape) for name in names if hasattr(layer, name))
    transposed = isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose)
    shape = tuple(layer.input.shape) if transposed else _shape(layer)
    return count * prod(shape[1:-1]) if count else 0


def group_into_blocks(found: Sequence[keras.Layer]) -> list[_Part]:
    """A backbone's layers in the order of `leaf_layers`, in blocks: by their names where these are known, else by size."""
    for plan in (_DENSENET, _INCEPTION_RESNET_V2):
        if all(any(re.match(pattern, layer.name) for layer in found) for pattern, _ in plan):
            return _by_names(found, plan)
    return _by_size(found)


def _by_names(found: Sequence[keras.Layer], plan: Plan) -> list[_Part]:
    gathered: list[list[keras.Layer]] = [[] for _ in plan]
    units: list[set[str]] = [set() for _ in plan]
    place, waiting = 0, list[keras.Layer]()
    for layer in found:
        waiting.append(layer)
        for own in range(place, len(plan)):  # never back: reductions have a max_pooling2d too
            if named := re.match(plan[own][0], layer.name):
                place = own
                units[own] |= set(named.groups())
                gathered[own] += waiting
                waiting = []
                break
    parts = [_Part(plan[own][1], layers, len(units[own]) or 1) for own, layers in enumerate(gathered)]
    return [*parts, *([_Part(POOLING, waiting)] if waiting else [])]


def _by_size(found: Sequence[keras.Layer]) -> list[_Part]:
    """From each halving of the maps' sides to the next; small maps between larger ones, as of squeezing, stay in.

    Each part is named by its first layer with a kernel. What only scales the input goes with the first one.
    """
    vectors = next((n for n, layer in enumerate(reversed(found)) if len(_shape(layer)) > 2), len(found))
    maps, pooled = found[: len(found) - vectors], found[len(found) - vectors :]
    places = [0 if isinstance(layer, layers.ZeroPadding2D) else prod(_shape(layer)[1:-1]) for layer in maps]
    halved = [round(log2(max(places) / max(1, *places[start:])) / 2) for start in range(len(places))]
    runs = [[layer for _, layer in run] for _, run in groupby(zip(halved, maps, strict=True), key=itemgetter(0))]
    if len(runs) > 1 and not any(map(count_multiply_adds, runs[0])):
        runs[:2] = [runs[0] + runs[1]]
    parts = [_Part(f"From {next(filter(count_multiply_adds, run), run[0]).name}", run) for run in runs]
    return [*parts, *([_Part(POOLING, pooled)] if pooled else [])]


def _sized(model: keras.Model, image: tuple[int, int, int]) -> keras.Model:
    """`model` with no size left open: a feature extractor from a file may take pictures of every size."""
    if all(None not in _shape(layer)[1:] for layer in leaf_layers(model)):
        return model
    nested = [_sized_copy(layer, image) if isinstance(layer, keras.Model) else layer for layer in model.layers]
    return keras.Sequential([keras.Input(image), *(layer for layer in nested if not _is_input(layer))])


def _sized_copy(model: keras.Model, image: tuple[int, int, int]) -> keras.Model:
    return keras.models.clone_model(model, input_tensors=keras.Input(image))


def _is_input(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.InputLayer)


def _changes_input(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.Rescaling) or type(layer).__name__.startswith("Random")


def _kind(layer: keras.Layer) -> str:
    return type(layer).__name__


def _shape(layer: keras.Layer) -> tuple[int, ...]:
    """Of the first output, the batch included."""
    return tuple(keras.tree.flatten(layer.output)[0].shape)


def _row(part: _Part) -> tuple[str, int, int, int, str, int, int, int]:
    return (
        part.name,
        part.units,
        len(part.layers),
        sum(bool(layer.trainable_weights) for layer in part.layers),
        " × ".join(map(str, _shape(part.layers[-1])[1:])),
        sum(layer.count_params() for layer in part.layers),
        sum(prod(weight.shape) for layer in part.layers for weight in layer.trainable_weights),
        sum(map(count_multiply_adds, part.layers)),
    )
