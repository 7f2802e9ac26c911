"""A classifier in two parts: pictures to features, and features to probabilities.

The features are the vector of the backbone where there is one, and what the last layer is given in the CNN. The first
part is nearly all of the work, and computes in the precision that was asked for; the second keeps float32.
"""

import keras
from keras import layers, ops

from realwaste.models import test_time_augmentation
from realwaste.models.novelty import NEAREST, SMALL, Novelty
from realwaste.runtime.fused_layers import HEAD


def parts(classifier: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Pictures to features (n, width), and features to probabilities (n, classes), of the classifier's own layers.

    Of a classifier that looks at several views, features are (n, views, width): first of the picture as it is.
    """
    one_view = test_time_augmentation.single(classifier)
    extract, classify = _of_one_view(one_view)
    if one_view is classifier:
        return extract, classify
    shown = test_time_augmentation.views(classifier)
    views, width = len(shown.outputs), extract.output_shape[-1]
    seen = ops.reshape(extract(layers.Concatenate(axis=0)(shown.outputs)), (views, -1, width))
    each = keras.Input((views, width), name="features")
    answers = ops.reshape(classify(ops.reshape(each, (-1, width))), (-1, views, classify.output_shape[-1]))
    return keras.Model(shown.inputs, ops.transpose(seen, (1, 0, 2))), keras.Model(each, ops.mean(answers, axis=1))


def observed(classifier: keras.Model) -> keras.Model:
    """Pictures in; probabilities (n, classes), and features (n, width) of the picture as it is, out, in one pass."""
    extract, classify = parts(classifier)
    seen = extract.outputs[0]
    plain = seen if len(seen.shape) == 2 else seen[:, 0]
    return keras.Model(extract.inputs, [classify(seen), plain], name=classifier.name)


def strangeness(known: Novelty, features: keras.KerasTensor) -> keras.KerasTensor:
    """As known.strangeness, within a network: (n,) for features (n, width), for programs that have no more than it."""
    unit = features / ops.maximum(ops.norm(features, axis=-1, keepdims=True), SMALL)
    cosines = layers.Dense(len(known.learned), use_bias=False, name="learned")
    compared = cosines(unit)
    cosines.set_weights([known.learned.astype("float32").T])
    nearest, _ = ops.top_k(compared, min(NEAREST, len(known.learned)))
    return 1 - ops.mean(nearest, axis=-1)


def _of_one_view(classifier: keras.Model) -> tuple[keras.Model, keras.Model]:
    named = {layer.name: layer for layer in classifier.layers}
    image = classifier.inputs[0]
    if HEAD in named:
        return keras.Model(image, named["backbone"](image, training=False)), named[HEAD]
    last = classifier.layers[-1]
    features = keras.Input(last.input.shape[1:], name="features")
    return keras.Model(image, last.input), keras.Model(features, last(features))
