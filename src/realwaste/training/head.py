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
from realwaste.models import novelty, test_time_augmentation
from realwaste.models.model_file import Classifier
from realwaste.models.novelty import Novelty
from realwaste.models.probabilities import fit_temperature
from realwaste.models.session import Session
from realwaste.runtime.fused_layers import HEAD


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


def mean_of(heads: Sequence[keras.Model]) -> keras.Model:
    """One head that answers with the mean of several, or the one there is (Lakshminarayanan et al., 2017)."""
    if len(heads) == 1:
        return heads[0]
    vector, answers = keras.Input(heads[0].input_shape[1:]), []
    for number, head in enumerate(heads):
        answer = vector
        for place, layer in enumerate(head.layers):
            own = type(layer).from_config(layer.get_config() | {"name": f"head_{number}_{place}"})
            answer = own(answer)
            own.set_weights(layer.get_weights())
        answers.append(answer)
    return keras.Model(vector, layers.average(answers), name=HEAD)


def join(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """The model to use: RGB pictures in, probabilities out, preprocessing inside."""
    return keras.Model(backbone.input, head(backbone(backbone.input, training=False)), name="classifier")


def save_trained(path: Path, models: Sequence[keras.Model]) -> None:
    """What models of one kind learned, heads or whole classifiers: their trainable weights, the first model's first.

    An .npz file; its arrays are named by the model's number and Keras' path of the weight, 0/head/dense/kernel.
    """
    learned = {
        f"{number}/{weight.path}": weight.numpy()
        for number, model in enumerate(models)
        for weight in model.trainable_weights
    }
    with atomic_replace(path) as temporary:
        np.savez(temporary, **learned)


def with_trained(model: keras.Model, path: Path) -> Iterator[keras.Model]:
    """`model` with what each of those learned that `save_trained` wrote, one after the other; at the end as it was."""
    weights = model.trainable_weights
    own = [weight.numpy() for weight in weights]
    with np.load(path, allow_pickle=False) as stored:
        values = [stored[name] for name in stored.files]
    try:
        for start in range(0, len(values), len(weights)):
            _assign(weights, values[start : start + len(weights)])
            yield model
    finally:
        _assign(weights, own)


def _assign(weights: Sequence[keras.Variable], values: Sequence[NDArray[np.float32]]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def of(classifier: keras.Model) -> keras.Model:
    """The head of a joined model, to be fed cached vectors."""
    return classifier.get_layer(HEAD)


def is_enough(classifier: keras.Model) -> bool:
    """Whether the head, given vectors of the backbone that was fetched, answers as the classifier does, given pictures.

    Not so where the backbone has learned, or where the classifier looks at several views; and the CNN has no head.
    """
    parts = {layer.name: layer for layer in classifier.layers}
    return HEAD in parts and not parts["backbone"].trainable_weights


def measured(
    classifier: Classifier, asked: Session, vectors: Embeddings, root: Path, splits: pd.DataFrame
) -> Classifier:
    """The classifier with its temperature and its novelty, by what it says of images root/<path>.

    Args:
        asked: a session of it.
        vectors: cached ones, by which it is asked where the head is enough.
    """
    paths = paths_of(splits, "val")
    known = vectors.select(paths) if is_enough(classifier.model) else None
    answers, _ = asked.predict_files([root / path for path in paths], known)
    temperature = fit_temperature(labels_of(splits, "val"), answers)
    found = novelty_of(classifier.model, asked, vectors, root, splits)
    return replace(classifier, facts=replace(classifier.facts, temperature=temperature), novelty=found)


def novelty_of(
    model: keras.Model, asked: Session, vectors: Embeddings, root: Path, splits: pd.DataFrame
) -> Novelty | None:
    """By which a picture is strange to the classifier `model`, from its training and validation images root/<path>.

    Their cached vectors are its features unless its backbone has learned.
    """
    frozen = is_enough(test_time_augmentation.single_view_model(model))

    def features(part: str) -> NDArray[np.float32]:
        paths = paths_of(splits, part)
        chosen = [paths[row] for row in novelty.sample_indices(len(paths))]
        if frozen:
            return np.asarray(vectors.select(chosen)[:])
        return asked.predict_files([root / path for path in chosen])[1]

    return novelty.fit(features("train"), features("val"))
