"""Which layers of the backbone the second phase of fine-tuning trains."""

import difflib

import keras

from realwaste.core.errors import UserError
from realwaste.models.layer_table import leaf_layers


def unfreeze_last_layers(backbone: keras.Model, last_layers: int | str, *, batch_norm: str = "frozen") -> int:
    """Make the last layers of `backbone` trainable; returns their number, without batch normalisation.

    Args:
        backbone: see realwaste.models.feature_extractor.build.
        last_layers: the number of layers with trainable weights, counted from the last one; or the start of the name of
            the first one, such as conv5_block16 of DenseNet121 or block8_10 of InceptionResNetV2; or all.
        batch_norm: of the last layers. frozen: it uses its moving statistics, which a few images would spoil, and its
            scale and offset belong to them. train: it uses the statistics of each batch, and all four are learned.

    Raises:
        UserError: more layers than the backbone has, or no layer of that name.
    """
    leaves = list(leaf_layers(backbone))
    candidates = [layer for layer in leaves if layer.weights and not _is_batch_norm(layer)]
    last = leaves[_first(candidates, leaves, last_layers) :]
    backbone.trainable = True  # also sets it for every layer inside
    for layer in leaves:
        layer.trainable = False
    for layer in last:
        layer.trainable = layer in candidates or (batch_norm == "train" and _is_batch_norm(layer))
    return sum(layer in candidates for layer in last)


def list_trained_weights(model: keras.Model) -> list[keras.Variable]:
    """The weights that a training of `model` changes: the trainable ones, then moving statistics."""
    moving = [
        weight
        for layer in leaf_layers(model)
        if _is_batch_norm(layer) and layer.trainable
        for weight in layer.non_trainable_weights
    ]
    return [*model.trainable_weights, *moving]


def _is_batch_norm(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _first(candidates: list[keras.Layer], leaves: list[keras.Layer], last_layers: int | str) -> int:
    """The index in `leaves` of the first layer to train."""
    if last_layers == "all":
        return 0
    if isinstance(last_layers, int):
        if last_layers > len(candidates):
            rule = f"unfreeze must not be larger than the number of layers with trainable weights: {len(candidates)}."
            raise UserError(rule, "Lower it, or name a layer.", last_layers)
        return leaves.index(candidates[-last_layers])
    first = next((place for place, layer in enumerate(leaves) if layer.name.startswith(last_layers)), len(leaves))
    if not any(layer in candidates for layer in leaves[first:]):
        close = difflib.get_close_matches(last_layers, [layer.name for layer in candidates], n=5, cutoff=0.3)
        suggestions = close or [layer.name for layer in candidates[-5:]]
        rule = "unfreeze must be all, a number of layers, or the start of the name of one of the backbone's layers."
        raise UserError(rule, f"For example: {', '.join(suggestions)}.", last_layers)
    return first
