"""A classifier's two networks converted to OpenVINO. Its model file contains them, so predicting needs no TensorFlow.

Weights are stored in float32, although half of their size would do for float16: a file then predicts with the same bits
as the classifier in memory, from which the pipeline computes calibration and novelty.
"""

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.errors import UserError, first_line
from realwaste.core.log import logger
from realwaste.models.novelty import Novelty
from realwaste.runtime import converted_cache, inference_engine, openvino_network
from realwaste.runtime.converted_cache import Networks
from realwaste.runtime.openvino_network import openvino

if TYPE_CHECKING:
    import keras

    from realwaste.models.model_file import Classifier

PARTS = ("extract", "classify")
"""See feature_split.split_classifier."""
_FOLDER = f"openvino-{openvino_network.VERSION}"  # inside the model file


def convert(model: "keras.Model") -> Networks:
    """Convert the parts of a classifier's Keras model."""
    from realwaste.models import feature_split  # noqa: PLC0415 - TensorFlow

    return dict(zip(PARTS, map(openvino_network.convert, feature_split.split_classifier(model)), strict=True))


def add_networks(classifier: "Classifier", inference: str) -> "Classifier":
    """The classifier with its converted networks, if `base.inference` means OpenVINO here: it is converted once."""
    if inference_engine.resolve_engine(inference, classifier.metadata.precision) == "tensorflow":
        return classifier
    return replace(classifier, networks=convert(classifier.model))


def write(archive: zipfile.ZipFile, networks: Networks) -> None:
    """Add converted networks to a model file."""
    for part, network in networks.items():
        for suffix, content in zip((".xml", ".bin"), openvino_network.to_bytes(network), strict=True):
            archive.writestr(f"{_FOLDER}/{part}{suffix}", content)


def load(
    path: Path, image_size: int, classes: int, novelty: Novelty | None, build_model: Callable[[], "keras.Model"]
) -> Networks:
    """The networks of a model file that model_file.read_metadata has accepted.

    Files of earlier versions contain none: they are converted once per machine, see runtime.converted_cache.

    Args:
        image_size, classes, novelty: of the file; its networks must fit them.
        build_model: loads the Keras model of the file, if it must be converted.

    Raises:
        UserError: it must be converted, and TensorFlow is not installed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{_FOLDER}/{PARTS[0]}.xml" in archive.namelist():
                networks = {part: _read(archive, part) for part in PARTS}
                _check(networks, image_size, classes, novelty)
                return networks
    except (OSError, RuntimeError, EOFError, MemoryError, zipfile.BadZipFile, KeyError, ValueError) as error:
        # RuntimeError also from an OpenVINO that is older than the one that wrote the file.
        logger.warning("the converted network in %s cannot be used: %s", path, first_line(error))
    try:
        return converted_cache.load_or_convert(path, PARTS, lambda: convert(build_model()))
    except ModuleNotFoundError:
        rule = f"{path} has no usable OpenVINO network, like files of earlier versions, so it needs TensorFlow."
        raise UserError(
            rule, "Train it again, or install TensorFlow: pip install '.[train]' in the checkout."
        ) from None


def _read(archive: zipfile.ZipFile, part: str) -> openvino.Model:
    return openvino_network.from_bytes(*(archive.read(f"{_FOLDER}/{part}{suffix}") for suffix in (".xml", ".bin")))


def _check(networks: Networks, image_size: int, classes: int, novelty: Novelty | None) -> None:
    """Raise ValueError if the networks do not fit each other, the metadata of the file or the novelty."""
    extract, classify = (_describe(networks[part]) for part in PARTS)
    (image, features), (vectors, probabilities) = extract, classify
    expected = f"u8 [?,{image_size},{image_size},3]", f"f32 [?,{classes}]"
    if (image, probabilities) != expected or features != vectors:
        raise ValueError(f"{expected} is described, and the networks are {extract} and {classify}")
    if novelty is not None and not features.endswith(f",{novelty.train_features.shape[1]}]"):
        raise ValueError(
            f"novelty has features of {novelty.train_features.shape[1]} numbers, and the network {features}"
        )


def _describe(network: openvino.Model) -> tuple[str, str]:
    """Type and shape of the one input and of the one output; the batch size is free."""
    (source,), (result,) = network.inputs, network.outputs
    return tuple(  # type: ignore[return-value]
        f"{port.element_type.get_type_name()} {port.partial_shape}".replace(" [0..,", " [?,")
        for port in (source, result)
    )
