"""Frozen feature extractors: an image in, one vector out, with the backbone's own preprocessing inside the model."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from realwaste.models.applications import Application, application, is_file
from realwaste.models.weights_record import read
from realwaste.core.errors import UserError, first_line

# Standard deviations of ImageNet's red, green and blue in 0..1, as keras.applications.efficientnet has them.
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Fetched:
    """A frozen backbone, and what metrics say of it: its name, its weights and its preprocessing."""

    model: keras.Model
    facts: dict[str, str]


def fetched(folder: Path, image_size: int) -> Fetched:
    """Build the backbone whose weights the fetch stage left in `folder`; errors as of `build`."""
    record = read(folder)
    source, weights = record.constructor_or_file(folder), record.weights_file(folder)
    facts = {
        "backbone": record.backbone,
        "weights": record.weights,
        "preprocessing": preprocessing_of(record.backbone),
    }
    return Fetched(build(source, image_size, weights, seed=record.seed or 0), facts)


def build(backbone: str, image_size: int, weights: Path | None, *, seed: int) -> keras.Model:
    """A frozen backbone: images in, global average of its last feature map out (report, section 2.2).

    The model takes RGB images, uint8 or float in 0..255, of shape (batch, image_size, image_size, 3), and gives float32
    vectors of shape (batch, features), whatever the dtype policy. Preprocessing is part of it, batch normalisation
    uses its moving statistics, nothing is trainable, and it saves and loads in safe mode.

    Args:
        backbone: a constructor of `keras.applications`, or the path of a `.keras` feature extractor that takes RGB in
            0..255. An extractor is used as it stands, in the dtypes it was saved with; one that ends in a classifier
            cannot be told from one that does not, and would give class scores as features.
        image_size: pixels a side.
        weights: HDF5 weights of the application without its classifier, in Keras' legacy layout, as its downloads are,
            or named `*.weights.h5`, in the present one. None draws initial weights from `seed`. An extractor has its
            own: None.
        seed: of the initial weights; the same seed gives the same bits, whatever was built before.

    Raises:
        UserError: unknown backbone; image too small for it; weights that are missing, unreadable or another network's;
            an extractor that is missing, unreadable, unsafe, or not made for one RGB image of this size.
    """
    image = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    if is_file(backbone):
        features = _extractor(Path(backbone), image_size, weights)(image, training=False)
        if len(features.shape) == 4:
            features = keras.layers.GlobalAveragePooling2D(dtype="float32")(features)
    else:
        row = application(backbone)
        with _seeded(seed):
            network = _without_classifier(row, image_size)
        if weights is not None:
            _load(network, row, weights)
        preprocess_input = getattr(keras.applications, row.module).preprocess_input
        features = network(preprocess_input(image), training=False)
    features = keras.layers.Activation("linear", dtype="float32", name="features")(features)
    model = keras.Model(image, features, name="backbone")
    model.trainable = False
    return model


def preprocessing_of(backbone: str) -> str:
    """What is done to an image's RGB values before the first convolution; a short name for metrics.

    Raises:
        UserError: unknown backbone.
    """
    return "inside the model" if is_file(backbone) else application(backbone).preprocessing


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Keras draws the seed of every unseeded layer from Python's generator; the caller's is put back afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _without_classifier(row: Application, image_size: int) -> keras.Model:
    if image_size < row.min_size:
        raise UserError(
            f"{row.name} needs images of at least {row.min_size} pixels a side.",
            "Raise image_size, or choose another backbone.",
            received=image_size,
        )
    constructor = getattr(keras.applications, row.name)
    return constructor(include_top=False, weights=None, input_shape=(image_size, image_size, 3), pooling="avg")


def _load(network: keras.Model, row: Application, weights: Path) -> None:
    try:
        network.load_weights(weights)
    except (
        Exception
    ) as error:  # The reader stumbles over a damaged file in many ways, none of them the program's fault.
        raise UserError(
            f"{weights} must hold weights of {row.name} without its classifier (HDF5, .h5 or .weights.h5).",
            f"Give the file made for it: {row.file_name}, from {row.url}.",
            received=first_line(error),
        ) from error
    if row.module == "efficientnet" and weights.name == row.file_name:
        _divide_by_std_again(network)


def _divide_by_std_again(network: keras.Model) -> None:
    """Make EfficientNetB0 to B7 what `weights="imagenet"` makes them.

    With that argument, and only with it, Keras puts a division by sqrt(std) behind the network's Normalization layer,
    for the sake of its own weights (tensorflow issue 49930). Loaded from a path they would meet wrongly scaled images,
    without an error. A variance multiplied by std does the same: (x - mean) / sqrt(variance * std).
    """
    normalization = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    mean, variance, count = normalization.get_weights()
    normalization.set_weights([mean, variance * _IMAGENET_STD, count])
    normalization.finalize_state()


def _extractor(path: Path, image_size: int, weights: Path | None) -> keras.Model:
    if weights is not None:
        raise UserError(
            f"{path} carries its own weights: no other file can be loaded into it.",
            "Leave weights at auto, or name a constructor of keras.applications as the backbone.",
            received=str(weights),
        )
    if path.suffix != ".keras" or not path.is_file():
        raise UserError(
            "A backbone that is a path must be an existing .keras file.",
            "Give the path of a feature extractor saved by Keras 3, or a constructor of keras.applications.",
            received=str(path),
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Anything may be in the file, and loading raises accordingly.
        raise UserError(
            f"{path} must be a Keras 3 model that loads in safe mode: no Lambda layers, no code of its own.",
            "Save the extractor again from Keras' own layers, or check that the file is whole.",
            received=first_line(error),
        ) from error
    _check_extractor(model, path, image_size)
    return model


def _check_extractor(model: Any, path: Path, image_size: int) -> None:
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or []]
    sizes = (None, image_size)
    if (
        len(inputs) != 1
        or len(inputs[0]) != 4
        or inputs[0][3] != 3
        or not all(side in sizes for side in inputs[0][1:3])
    ):
        raise UserError(
            f"{path} must take one RGB image of {image_size} by {image_size} pixels: (batch, height, width, 3).",
            "Set image_size to what it was made for, or give another extractor.",
            received=inputs,
        )
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if len(outputs) != 1 or len(outputs[0]) not in {2, 4} or outputs[0][-1] is None:
        raise UserError(
            f"{path} must give one vector or one feature map an image.",
            "Save it with a single output: (batch, features) or (batch, height, width, features).",
            received=outputs,
        )
