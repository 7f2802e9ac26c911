"""Which part of a backbone learns too, in the second phase of fine-tuning."""

import difflib
from collections.abc import Iterator

import keras

from realwaste.core.errors import UserError


def unfreeze(backbone: keras.Model, end: int | str) -> int:
    """Let the last layers of `backbone` learn; how many they are.

    Batch normalisation stays as it is: realwaste.models.feature_extractor has it use its moving statistics, which few
    images would spoil, and scale and offset belong to them.

    Args:
        backbone: as of realwaste.models.feature_extractor.build.
        end: so many layers with weights to learn, from the last one on; or what the name of the first one begins with,
            such as conv5_block16 of DenseNet121 or block8_10 of InceptionResNetV2.

    Raises:
        UserError: more layers than there are, or no layer of that name.
    """
    leaves = list(_leaves(backbone))
    able = [layer for layer in leaves if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)]
    chosen = able[_first(able, leaves, end) :]
    backbone.trainable = True  # which goes down to each layer
    for layer in leaves:
        layer.trainable = layer in chosen
    return len(chosen)


def _leaves(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _first(able: list[keras.Layer], leaves: list[keras.Layer], end: int | str) -> int:
    """The place in `able` of the first layer that learns."""
    if isinstance(end, int):
        if end > len(able):
            rule = f"unfreeze must not count more layers than the backbone has: {len(able)} with weights to learn."
            raise UserError(rule, "Lower it, or name a layer.", end)
        return len(able) - end
    named = [place for place, layer in enumerate(leaves) if layer.name.startswith(end)]
    after = [layer for layer in leaves[named[0] :] if layer in able] if named else []
    if not after:
        close = difflib.get_close_matches(end, [layer.name for layer in able], n=5, cutoff=0.3)
        known = close or [layer.name for layer in able[-5:]]
        rule = "unfreeze must be a number of layers, or what the name of one of the backbone's layers begins with."
        raise UserError(rule, f"There are {', '.join(known)} among others.", end)
    return able.index(after[0])
