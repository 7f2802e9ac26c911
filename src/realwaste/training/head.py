"""The classifier on a backbone's vectors (report, section 2.2), alone for training and joined for use."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers
from numpy.typing import NDArray

from realwaste.core.files import atomic_replace
from realwaste.dataset.labels import labels_of, paths_of
from realwaste.embedding.embeddings import Embeddings
from realwaste.models import feature_split, novelty, test_time_augmentation
from realwaste.models.model_file import Classifier
from realwaste.models.novelty import Novelty
from realwaste.models.probabilities import fit_temperature
from realwaste.models.session import Session
from realwaste.runtime.fused_layers import HEAD
from realwaste.training.unfreezing import list_trained_weights


def build(width: int, dense_units: int, classes: int, dropout: float = 0.0) -> keras.Model:
    """Vectors (width,) to `classes` probabilities, by one hidden layer.

    Args:
        dropout: share of a vector's values that is left out in training.
    """
    return keras.Sequential(
        [
            keras.Input((width,)),
            *([layers.Dropout(dropout)] if dropout else []),
            layers.Dense(dense_units, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ],
        name=HEAD,
    )


def average_heads(heads: Sequence[keras.Model]) -> keras.Model:
    """One head that predicts the mean of several (Lakshminarayanan et al., 2017); a single head as it is."""
    if len(heads) == 1:
        return heads[0]
    vector, outputs = keras.Input(heads[0].input_shape[1:]), []
    for number, head in enumerate(heads):
        output = vector
        for place, layer in enumerate(head.layers):
            copy = type(layer).from_config(layer.get_config() | {"name": f"head_{number}_{place}"})
            output = copy(output)
            copy.set_weights(layer.get_weights())
        outputs.append(output)
    return keras.Model(vector, layers.average(outputs), name=HEAD)


def join(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """The model to use: RGB pictures in, probabilities out, preprocessing inside."""
    return keras.Model(backbone.input, head(backbone(backbone.input, training=False)), name="classifier")


def save_trained_weights(path: Path, models: Sequence[keras.Model]) -> None:
    """Save the weights that training changed of several models of the same architecture, heads or whole classifiers.

    The arrays of the .npz file are named by the number of the model and Keras' path of the weight: 0/head/dense/kernel.
    """
    weights = {
        f"{number}/{weight.path}": weight.numpy()
        for number, model in enumerate(models)
        for weight in list_trained_weights(model)
    }
    with atomic_replace(path) as temporary:
        np.savez(temporary, **weights)


def load_each_trained(model: keras.Model, path: Path) -> Iterator[keras.Model]:
    """`model` with the weights of each model in a file of save_trained_weights in turn; restored at the end."""
    weights = list_trained_weights(model)
    original = [weight.numpy() for weight in weights]
    with np.load(path, allow_pickle=False) as stored:
        values = [stored[name] for name in stored.files]
    try:
        for start in range(0, len(values), len(weights)):
            _assign(weights, values[start : start + len(weights)])
            yield model
    finally:
        _assign(weights, original)


def _assign(weights: Sequence[keras.Variable], values: Sequence[NDArray[np.float32]]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def get_head(classifier: keras.Model) -> keras.Model:
    """The head of a joined model, which takes cached vectors."""
    return classifier.get_layer(HEAD)


def add_temperature_and_novelty(
    classifier: Classifier, session: Session, vectors: Embeddings, root: Path, splits: pd.DataFrame
) -> Classifier:
    """The classifier with its temperature and novelty score, fitted to validation and training images root/<path>.

    Args:
        session: of this classifier.
        vectors: cached ones, which replace the images where feature_split.accepts_cached_vectors allows it.
    """
    paths = paths_of(splits, "val")
    val_vectors = vectors.select(paths) if feature_split.accepts_cached_vectors(classifier.model) else None
    probabilities, _ = session.predict_files([root / path for path in paths], val_vectors)
    temperature = fit_temperature(labels_of(splits, "val"), probabilities)
    fitted = fit_novelty(classifier.model, session, vectors, root, splits)
    return replace(classifier, metadata=replace(classifier.metadata, temperature=temperature), novelty=fitted)


def fit_novelty(
    model: keras.Model, session: Session, vectors: Embeddings, root: Path, splits: pd.DataFrame
) -> Novelty | None:
    """The novelty score of the classifier `model`, fitted to its training and validation images root/<path>.

    Cached vectors are its features, unless the last layers of its backbone were fine-tuned.
    """
    is_frozen = feature_split.accepts_cached_vectors(test_time_augmentation.single_view_model(model))

    def features(part: str) -> NDArray[np.float32]:
        paths = paths_of(splits, part)
        sample = [paths[index] for index in novelty.sample_indices(len(paths))]
        if is_frozen:
            return np.asarray(vectors.select(sample)[:])
        return session.predict_files([root / path for path in sample])[1]

    return novelty.fit(features("train"), features("val"))
