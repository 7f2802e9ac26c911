"""Frozen backbones as feature extractors: an image in, one vector out; the preprocessing is part of the model."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from realwaste.core.errors import UserError, first_line
from realwaste.models.applications import Application, application, is_file
from realwaste.models.efficientnet_lite import build_efficientnet_lite, load_torch_weights
from realwaste.models.weights_record import read

# Standard deviations of ImageNet's red, green and blue in 0..1, from keras.applications.efficientnet.
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class FrozenBackbone:
    """A frozen backbone, the image size of its input, and facts for metrics: name, weights and preprocessing."""

    model: keras.Model
    image_size: int
    facts: dict[str, str]


def load_backbone(folder: Path, requested_size: int) -> FrozenBackbone:
    """Build the backbone whose weights the fetch stage wrote to `folder`; errors as in `build`.

    Args:
        requested_size: the image size in params.yaml; a stand-in may have a smaller one.
    """
    record = read(folder)
    image_size = record.image_size(requested_size)
    source, weights = record.constructor_or_file(folder), record.weights_file(folder)
    facts = {"backbone": record.backbone, "weights": record.weights}
    facts["preprocessing"] = preprocessing_of(record.backbone)
    return FrozenBackbone(build(source, image_size, weights, seed=record.seed or 0), image_size, facts)


def build(backbone: str, image_size: int, weights: Path | None, *, seed: int) -> keras.Model:
    """Build a frozen backbone with global average pooling (report, section 2.2).

    The model takes RGB images, uint8 or float in 0..255, of shape (batch, image_size, image_size, 3), and returns
    float32 vectors (batch, features) under every dtype policy. It includes the preprocessing, batch normalisation uses
    the moving statistics, nothing is trainable, and it saves and loads in safe mode.

    Args:
        backbone: a name in `APPLICATIONS`, or the path of a `.keras` feature extractor that takes RGB in 0..255. An
            extractor is used in the dtypes it was saved with. If it ends in a classifier, which cannot be
            detected, the features are class scores.
        image_size: height and width in pixels.
        weights: HDF5 weights of the application without its classifier, in Keras' legacy layout (as its downloads) or,
            if named `*.weights.h5`, in the present one; for EfficientNet-Lite also a `.pth` file. None initialises from
            `seed`. Must be None for an extractor.
        seed: of the initial weights; the same seed gives the same bits, whatever was built before.

    Raises:
        UserError: the backbone is unknown; the image is too small for it; the weights are missing, unreadable or of
            another network; the extractor is missing, unreadable, unsafe, or does not take one RGB image of this size.
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
        pixels = image
        if row.mode != "inside the model":
            pixels = getattr(keras.applications, row.module).preprocess_input(image)
        features = network(pixels, training=False)
    features = keras.layers.Activation("linear", dtype="float32", name="features")(features)
    model = keras.Model(image, features, name="backbone")
    model.trainable = False
    return model


def preprocessing_of(backbone: str) -> str:
    """The preprocessing of RGB values before the first convolution, as a short name for metrics."""
    return "inside the model" if is_file(backbone) else application(backbone).preprocessing


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Python's random generator, from which Keras draws the seeds of layers, and restore its state afterwards."""
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
    if row.module == "efficientnet_lite":
        return build_efficientnet_lite(row.name, image_size)
    constructor = getattr(keras.applications, row.name)
    return constructor(include_top=False, weights=None, input_shape=(image_size, image_size, 3), pooling="avg")


def _load(network: keras.Model, row: Application, weights: Path) -> None:
    is_lite = row.module == "efficientnet_lite"
    try:
        if is_lite and weights.suffix == ".pth":
            load_torch_weights(network, weights)
        else:
            network.load_weights(weights)
    except Exception as error:  # a damaged file can make Keras and h5py raise anything
        formats = ".weights.h5, or .pth in the format of PyTorch before 1.6" if is_lite else "HDF5, .h5 or .weights.h5"
        source = f"the package {row.requirement}" if is_lite else row.url
        raise UserError(
            f"{weights} must hold weights of {row.name} without its classifier ({formats}).",
            f"Use the file that is provided for it: {row.file_name}, from {source}.",
            received=first_line(error),
        ) from error
    if row.module == "efficientnet" and weights.name == row.file_name:
        _rescale_normalization(network)


def _rescale_normalization(network: keras.Model) -> None:
    """Normalise images in EfficientNetB0 to B7 as `weights="imagenet"` does.

    Only with that argument, Keras divides by sqrt(std) after the Normalization layer, because its weights were trained
    so (tensorflow issue 49930). The same weights loaded from a path would silently get wrongly scaled images. A
    variance multiplied by std has the same effect: (x - mean) / sqrt(variance * std).
    """
    normalization = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    mean, variance, count = normalization.get_weights()
    normalization.set_weights([mean, variance * _IMAGENET_STD, count])
    normalization.finalize_state()


def _extractor(path: Path, image_size: int, weights: Path | None) -> keras.Model:
    if weights is not None:
        raise UserError(
            f"{path} contains its weights: no other file can be loaded into it.",
            "Leave weights at auto, or name a constructor of keras.applications as the backbone.",
            received=str(weights),
        )
    if path.suffix != ".keras" or not path.is_file():
        raise UserError(
            "A backbone that is a path must be an existing .keras file.",
            "Use the path of a feature extractor saved by Keras 3, or a constructor of keras.applications.",
            received=str(path),
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # loading an arbitrary file may raise anything
        raise UserError(
            f"{path} must be a Keras 3 model that loads in safe mode: without Lambda layers and custom code.",
            "Save the extractor again with Keras' layers only, or check that the file is complete.",
            received=first_line(error),
        ) from error
    _check_extractor(model, path, image_size)
    return model


def _check_extractor(model: Any, path: Path, image_size: int) -> None:
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or []]
    sizes = (None, image_size)
    is_one_image = len(inputs) == 1 and len(inputs[0]) == 4 and inputs[0][3] == 3
    if not is_one_image or not all(side in sizes for side in inputs[0][1:3]):
        raise UserError(
            f"{path} must take one RGB image of {image_size} by {image_size} pixels: (batch, height, width, 3).",
            "Set image_size to the size that it takes, or use another extractor.",
            received=inputs,
        )
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if len(outputs) != 1 or len(outputs[0]) not in {2, 4} or outputs[0][-1] is None:
        raise UserError(
            f"{path} must give one vector or one feature map an image.",
            "Save it with one output: (batch, features) or (batch, height, width, features).",
            received=outputs,
        )
