"""Which layers of the backbone the second phase of fine-tuning trains."""

import difflib
from collections.abc import Iterator

import keras

from realwaste.core.errors import UserError


def unfreeze_last_layers(backbone: keras.Model, last_layers: int | str) -> int:
    """Make the last layers of `backbone` trainable; returns their number.

    Batch normalisation stays frozen: in realwaste.models.feature_extractor it uses its moving statistics, which a few
    images would spoil, and its scale and offset belong to them.

    Args:
        backbone: as of realwaste.models.feature_extractor.build.
        last_layers: the number of layers with trainable weights, counted from the last one; or the start of the name of
            the first one, such as conv5_block16 of DenseNet121 or block8_10 of InceptionResNetV2.

    Raises:
        UserError: more layers than the backbone has, or no layer of that name.
    """
    leaves = list(_leaves(backbone))
    candidates = [layer for layer in leaves if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)]
    trainable = candidates[_first(candidates, leaves, last_layers) :]
    backbone.trainable = True  # also sets it for every layer inside
    for layer in leaves:
        layer.trainable = layer in trainable
    return len(trainable)


def _leaves(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _first(candidates: list[keras.Layer], leaves: list[keras.Layer], last_layers: int | str) -> int:
    """The index in `candidates` of the first layer to train."""
    if isinstance(last_layers, int):
        if last_layers > len(candidates):
            rule = f"unfreeze must not be larger than the number of layers with trainable weights: {len(candidates)}."
            raise UserError(rule, "Lower it, or name a layer.", last_layers)
        return len(candidates) - last_layers
    matches = [place for place, layer in enumerate(leaves) if layer.name.startswith(last_layers)]
    after = [layer for layer in leaves[matches[0] :] if layer in candidates] if matches else []
    if not after:
        close = difflib.get_close_matches(last_layers, [layer.name for layer in candidates], n=5, cutoff=0.3)
        suggestions = close or [layer.name for layer in candidates[-5:]]
        rule = "unfreeze must be a number of layers, or the start of the name of one of the backbone's layers."
        raise UserError(rule, f"There are {', '.join(suggestions)} among others.", last_layers)
    return candidates.index(after[0])
