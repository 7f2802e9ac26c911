"""Networks of random weights that answer differently of different pictures: where all answers are alike, all agree."""

import keras
import numpy as np
from conftest import picture
from numpy.typing import NDArray

from realwaste.models import feature_extractor
from realwaste.training import head


def extractor(name: str, image_size: int) -> keras.Model:
    """A backbone. Drawn weights shrink what passes through many layers until nothing of the picture is left.

    So batch normalisation takes the statistics of some pictures first, as after training.
    """
    built = feature_extractor.build(name, image_size, None, seed=1)
    network = next(layer for layer in built.layers if isinstance(layer, keras.Model))
    network.trainable = True
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network((_pictures(image_size) - 127.5) / 64, training=True)
    network.trainable = False
    return built


def head_of(built: keras.Model, classes: int) -> keras.Model:
    """A head that starts around the mean of what the backbone gives, and as steep as that differs."""
    features = built.predict_on_batch(_pictures(built.input_shape[1]))
    classifier = head.build(features.shape[1], 16, classes)
    kernel = classifier.layers[0].get_weights()[0] / features.std(axis=0).mean()
    classifier.layers[0].set_weights([kernel, -features.mean(axis=0) @ kernel])
    return classifier


def _pictures(side: int) -> NDArray[np.float32]:
    return np.stack([picture(seed, side, side) for seed in range(4)]).astype(np.float32)
