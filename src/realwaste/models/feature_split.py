"""A classifier in two networks: images to features, and features to probabilities.

The features are the output of the backbone; in the CNN, the input of its last layer. The first network is nearly all of
the work and computes in the chosen precision; the second stays in float32.
"""

import keras
from keras import layers, ops

from realwaste.models import test_time_augmentation
from realwaste.models.novelty import MIN_LENGTH, NEIGHBOURS, Novelty
from realwaste.runtime.fused_layers import HEAD


def split_classifier(classifier: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Two networks of the classifier's layers: images to features (n, width), features to probabilities (n, classes).

    With test-time augmentation, features are (n, views, width); the first view is the unchanged image.
    """
    one_view = test_time_augmentation.single_view_model(classifier)
    extract, classify = _split_single_view(one_view)
    if one_view is classifier:
        return extract, classify
    views = test_time_augmentation.views_model(classifier)
    count, width = len(views.outputs), extract.output_shape[-1]
    by_view = ops.reshape(extract(layers.Concatenate(axis=0)(views.outputs)), (count, -1, width))
    features = keras.Input((count, width), name="features")
    probabilities = ops.reshape(classify(ops.reshape(features, (-1, width))), (-1, count, classify.output_shape[-1]))
    return (
        keras.Model(views.inputs, ops.transpose(by_view, (1, 0, 2))),
        keras.Model(features, ops.mean(probabilities, axis=1)),
    )


def accepts_cached_vectors(classifier: keras.Model) -> bool:
    """Whether the head, given the cached vectors of images, predicts the same as the classifier, given the images.

    It does not if the last layers of the backbone were fine-tuned, or if the classifier averages several views. The CNN
    has no head.
    """
    parts = {layer.name: layer for layer in classifier.layers}
    return HEAD in parts and not parts["backbone"].trainable_weights


def with_features(classifier: keras.Model) -> keras.Model:
    """One network: images in; probabilities (n, classes) and features (n, width) of the unchanged image out."""
    extract, classify = split_classifier(classifier)
    features = extract.outputs[0]
    of_unchanged_image = features if len(features.shape) == 2 else features[:, 0]
    return keras.Model(extract.inputs, [classify(features), of_unchanged_image], name=classifier.name)


def novelty_scores(novelty: Novelty, features: keras.KerasTensor) -> keras.KerasTensor:
    """Novelty.scores as layers of a network, for exports: scores (n,) of features (n, width)."""
    unit = features / ops.maximum(ops.norm(features, axis=-1, keepdims=True), MIN_LENGTH)
    train_features = layers.Dense(len(novelty.train_features), use_bias=False, name="learned")
    cosines = train_features(unit)
    train_features.set_weights([novelty.train_features.astype("float32").T])
    nearest, _ = ops.top_k(cosines, min(NEIGHBOURS, len(novelty.train_features)))
    return 1 - ops.mean(nearest, axis=-1)


def _split_single_view(classifier: keras.Model) -> tuple[keras.Model, keras.Model]:
    layer_by_name = {layer.name: layer for layer in classifier.layers}
    image = classifier.inputs[0]
    if HEAD in layer_by_name:
        return keras.Model(image, layer_by_name["backbone"](image, training=False)), layer_by_name[HEAD]
    last = classifier.layers[-1]
    features = keras.Input(last.input.shape[1:], name="features")
    return keras.Model(image, last.input), keras.Model(features, last(features))
