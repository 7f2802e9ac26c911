"""A classifier that gives with each answer the features that the answer was made of, in the same pass.

They are the vector of the backbone where there is one, and what the last layer is given in the CNN. A classifier that
looks at mirror images too gives those of the picture as it is.
"""

import keras
from keras import layers, ops

from realwaste.classifier import test_time_augmentation
from realwaste.classifier.novelty import NEAREST, SMALL, Novelty
from realwaste.compute.fused import HEAD


def observed(classifier: keras.Model) -> keras.Model:
    """Pictures in; probabilities (n, classes) and features (n, width) out; the layers are the classifier's own."""
    one_view = test_time_augmentation.single(classifier)
    if one_view is classifier:
        return _of_one_view(classifier)
    joined = next(layer for layer in classifier.layers if isinstance(layer, layers.Concatenate))
    answers, features = (
        ops.reshape(output, (len(joined.input), -1, output.shape[-1]))
        for output in _of_one_view(one_view)(joined.output)
    )
    return keras.Model(classifier.inputs, [ops.mean(answers, axis=0), features[0]], name=classifier.name)


def strangeness(known: Novelty, features: keras.KerasTensor) -> keras.KerasTensor:
    """As known.strangeness, within a network: (n,) for features (n, width), for programs that have no more than it."""
    unit = features / ops.maximum(ops.norm(features, axis=-1, keepdims=True), SMALL)
    cosines = layers.Dense(len(known.learned), use_bias=False, name="learned")
    compared = cosines(unit)
    cosines.set_weights([known.learned.astype("float32").T])
    nearest, _ = ops.top_k(compared, min(NEAREST, len(known.learned)))
    return 1 - ops.mean(nearest, axis=-1)


def _of_one_view(classifier: keras.Model) -> keras.Model:
    parts = {layer.name: layer for layer in classifier.layers}
    image = classifier.inputs[0]
    if HEAD not in parts:
        return keras.Model(image, [classifier.outputs[0], classifier.layers[-1].input])
    vectors = parts["backbone"](image, training=False)
    return keras.Model(image, [parts[HEAD](vectors), vectors])
