"""Networks with random weights whose predictions differ between images.

If all predictions were alike, a comparison of two implementations would always pass.
"""

from typing import Any

import keras
import numpy as np
from conftest import picture
from keras.layers import BatchNormalization
from numpy.typing import NDArray

from realwaste.models import cnn, feature_extractor
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.training import head


def cnn_classifier(image_size: int = 32, classes: tuple[str, ...] = ("a", "b", "c"), **metadata: Any) -> Classifier:
    """A CNN, which differs from call to call unless Keras is seeded."""
    model = cnn.build(image_size, len(classes), batch_norm_momentum=0.9)
    return Classifier(model, ModelMetadata("cnn", classes, image_size, "drawn", cnn.BACKBONE, cnn.WEIGHTS, **metadata))


def randomize_batch_norm(model: keras.Model) -> list[BatchNormalization]:
    """Set statistics and scales that are neither 0 nor 1, as after a training. Returns the layers."""
    rng = np.random.default_rng(0)
    batch_norms = [layer for layer in model._flatten_layers() if isinstance(layer, BatchNormalization)]
    for layer in batch_norms:
        layer.set_weights([np.abs(w + rng.normal(0, 0.3, w.shape)) + 0.1 for w in layer.get_weights()])
    return batch_norms


def extractor(name: str, image_size: int) -> keras.Model:
    """Build a feature extractor with random weights and with batch normalisation adapted to a few images.

    Random weights shrink the activations from layer to layer until they no longer depend on the image. The statistics
    of batch normalisation prevent that, as after training.
    """
    model = feature_extractor.build(name, image_size, None, seed=1)
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    backbone.trainable = True
    for layer in backbone.layers:
        if isinstance(layer, BatchNormalization):
            layer.momentum = 0.0
    backbone((_images(image_size) - 127.5) / 64, training=True)
    backbone.trainable = False
    return model


def head_of(model: keras.Model, classes: int) -> keras.Model:
    """Build a head whose random weights are centred on the mean of the features and scaled to their spread."""
    features = model.predict_on_batch(_images(model.input_shape[1]))
    classifier = head.build(features.shape[1], 16, classes)
    kernel = classifier.layers[0].get_weights()[0] / features.std(axis=0).mean()
    classifier.layers[0].set_weights([kernel, -features.mean(axis=0) @ kernel])
    return classifier


def _images(side: int) -> NDArray[np.float32]:
    return np.stack([picture(seed, side, side) for seed in range(4)]).astype(np.float32)
