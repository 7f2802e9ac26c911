"""A classifier as a table of its layers or blocks: shapes, parameters, multiply-adds (report, fig. 7 and 8, 1.6, 1.7).

The hundreds of layers of a backbone are grouped. DenseNet121 and InceptionResNetV2 are recognised by the names of their
layers and get the blocks of their papers (Huang et al., 2017; Szegedy et al., 2017). The layers of any other backbone
are grouped by the size of their feature maps.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log2, prod
from operator import itemgetter

import keras
from keras import layers

from realwaste.models import feature_split, test_time_augmentation
from realwaste.models.architecture import Architecture
from realwaste.runtime.fused_layers import HEAD

POOLING = "Global average pooling"

# For each block, in order: a pattern for the start of its layers' names, with the unit's number in parentheses, and the
# block's name. A layer with an automatic name (conv2d_7) belongs to the block of the next layer that matches, which is
# where branches meet.
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
BlockPatterns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class _Block:
    """Layers that make one row of the table; `units` is how many repetitions of one structure they contain."""

    name: str
    layers: Sequence[keras.Layer]
    units: int = 1


def describe(classifier: keras.Model) -> Architecture:
    """A row for each layer of the CNN, or for each block of a backbone and each layer of its head; and total counts.

    Preprocessing and augmentation layers are left out. In a row, `output` is the output shape of its last layer,
    without the batch axis, and `multiply_adds` counts those of convolutions and dense layers for one image of the
    classifier's input size.
    """
    one_view = test_time_augmentation.single_view_model(classifier)
    layers_by_name = {layer.name: layer for layer in one_view.layers}
    if HEAD in layers_by_name:
        backbone = _with_fixed_size(layers_by_name["backbone"], one_view.input_shape[1:])
        blocks = [
            *group_into_blocks(list(leaf_layers(backbone))),
            *(_Block(type(layer).__name__, [layer]) for layer in layers_by_name[HEAD].layers),
        ]
    else:
        blocks = [
            _Block(type(layer).__name__, [layer]) for layer in leaf_layers(one_view) if not _is_preprocessing(layer)
        ]
    return Architecture(
        blocks=[_block_row(block) for block in blocks],
        parameters=classifier.count_params(),
        trainable_parameters=sum(prod(weight.shape) for weight in classifier.trainable_weights),
        accepts_cached_vectors=feature_split.accepts_cached_vectors(classifier),
    )


def leaf_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a model and of its nested models, without input layers, each after the layers that feed it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        elif not isinstance(layer, layers.InputLayer):
            yield layer


def count_multiply_adds(layer: keras.Layer) -> int:
    """Multiply-adds for one image: kernel weights times the positions they are applied at; 0 without a kernel."""
    names = ("kernel", "depthwise_kernel", "pointwise_kernel")  # the last two of separable convolutions
    count = sum(prod(getattr(layer, name).shape) for name in names if hasattr(layer, name))
    transposed = isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose)
    shape = tuple(layer.input.shape) if transposed else _output_shape(layer)
    return count * prod(shape[1:-1]) if count else 0


def group_into_blocks(backbone_layers: Sequence[keras.Layer]) -> list[_Block]:
    """Groups a backbone's layers, in the order of `leaf_layers`: by known layer names, else by feature-map size."""
    for plan in (_DENSENET, _INCEPTION_RESNET_V2):
        if all(any(re.match(pattern, layer.name) for layer in backbone_layers) for pattern, _ in plan):
            return _group_by_name(backbone_layers, plan)
    return _group_by_map_size(backbone_layers)


def _group_by_name(backbone_layers: Sequence[keras.Layer], plan: BlockPatterns) -> list[_Block]:
    members: list[list[keras.Layer]] = [[] for _ in plan]
    units: list[set[str]] = [set() for _ in plan]
    current, unassigned = 0, list[keras.Layer]()
    for layer in backbone_layers:
        unassigned.append(layer)
        for index in range(current, len(plan)):  # never an earlier block: reductions have a max_pooling2d too
            if match := re.match(plan[index][0], layer.name):
                current = index
                units[index] |= set(match.groups())
                members[index] += unassigned
                unassigned = []
                break
    blocks = [_Block(plan[index][1], layers, len(units[index]) or 1) for index, layers in enumerate(members)]
    return [*blocks, *([_Block(POOLING, unassigned)] if unassigned else [])]


def _group_by_map_size(backbone_layers: Sequence[keras.Layer]) -> list[_Block]:
    """A block for each halving of the feature maps' side; small maps between larger ones (squeeze-excite) start none.

    Each block is named after its first layer with a kernel. Layers before the first kernel belong to the first block.
    """
    with_map = [index for index, layer in enumerate(backbone_layers) if len(_output_shape(layer)) > 2]
    count = with_map[-1] + 1 if with_map else 0
    map_layers, vector_layers = backbone_layers[:count], backbone_layers[count:]
    positions = [
        0 if isinstance(layer, layers.ZeroPadding2D) else prod(_output_shape(layer)[1:-1]) for layer in map_layers
    ]
    halved = [round(log2(max(positions) / max(1, *positions[start:])) / 2) for start in range(len(positions))]
    runs = [[layer for _, layer in run] for _, run in groupby(zip(halved, map_layers, strict=True), key=itemgetter(0))]
    if len(runs) > 1 and not any(map(count_multiply_adds, runs[0])):
        runs[:2] = [runs[0] + runs[1]]
    blocks = [_Block(f"From {next(filter(count_multiply_adds, run), run[0]).name}", run) for run in runs]
    return [*blocks, *([_Block(POOLING, vector_layers)] if vector_layers else [])]


def _with_fixed_size(model: keras.Model, image: tuple[int, int, int]) -> keras.Model:
    """`model` with fixed shapes at this image size: a feature extractor from a file may accept any size."""
    if all(None not in _output_shape(layer)[1:] for layer in leaf_layers(model)):
        return model
    fixed = [
        keras.models.clone_model(layer, input_tensors=keras.Input(image)) if isinstance(layer, keras.Model) else layer
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
    ]
    return keras.Sequential([keras.Input(image), *fixed])


def _is_preprocessing(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.Rescaling) or type(layer).__name__.startswith("Random")


def _output_shape(layer: keras.Layer) -> tuple[int, ...]:
    """The shape of the layer's first output, including the batch axis."""
    return tuple(keras.tree.flatten(layer.output)[0].shape)


def _block_row(block: _Block) -> tuple[str, int, int, int, str, int, int, int]:
    return (
        block.name,
        block.units,
        len(block.layers),
        sum(bool(layer.trainable_weights) for layer in block.layers),
        " × ".join(map(str, _output_shape(block.layers[-1])[1:])),
        sum(layer.count_params() for layer in block.layers),
        sum(prod(weight.shape) for layer in block.layers for weight in layer.trainable_weights),
        sum(map(count_multiply_adds, block.layers)),
    )
