"""A classifier's two networks converted to OpenVINO. Its model file contains them, so predicting needs no TensorFlow.

Weights are stored in float32, although half of their size would do for float16: a file then predicts with the same bits
as the classifier in memory, from which the pipeline computes calibration and novelty.

Model files of earlier versions contain no networks. Theirs are cached in the user's cache folder; an entry is named by
the SHA-256 of the model file.
"""

import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.errors import UserError, first_line
from realwaste.core.files import atomic_replace, cache_folder, hash_file, is_stage_output
from realwaste.core.log import logger
from realwaste.models.novelty import Novelty
from realwaste.runtime import inference_engine, openvino_network
from realwaste.runtime.openvino_network import openvino

if TYPE_CHECKING:
    import keras

    from realwaste.models.model_file import Classifier

Networks = dict[str, openvino.Model]
PARTS = ("extract", "classify")
"""See feature_split.split_classifier."""
_MAX_CACHED = 12  # model files; the least recently used are deleted
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
    """The networks of a model file that model_file.read_metadata has accepted. They must fit its other facts.

    Args:
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
        return _load_or_convert(path, build_model)
    except ModuleNotFoundError:
        rule = f"{path} has no usable OpenVINO network, like files of earlier versions, so it needs TensorFlow."
        raise UserError(
            rule, "Train it again, or install TensorFlow: pip install '.[train]' in the checkout."
        ) from None


def _load_or_convert(path: Path, build_model: Callable[[], "keras.Model"]) -> Networks:
    """The networks from the cache; converted and cached if they are missing, damaged or of another OpenVINO."""
    folder = cache_folder() / "networks"
    entry = folder / f"{hash_file(path)}-{openvino_network.VERSION}-{version('openvino')}"
    try:
        cached = {part: openvino_network.load(entry / f"{part}.xml") for part in PARTS}
        os.utime(entry)
        return cached
    except (OSError, RuntimeError):
        logger.info("preparing %s for this machine (once)", path)
        networks = convert(build_model())
    try:
        with atomic_replace(entry, is_stage_output) as temporary:
            temporary.mkdir()
            for part, network in networks.items():
                openvino_network.save(temporary / f"{part}.xml", network)
        newest_first = sorted(folder.glob("*-*-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old_entry in newest_first[_MAX_CACHED:]:
            shutil.rmtree(old_entry, ignore_errors=True)
    except OSError as error:
        logger.debug("converted networks could not be cached in %s: %s", folder, error)
    return networks


def _read(archive: zipfile.ZipFile, part: str) -> openvino.Model:
    return openvino_network.from_bytes(*(archive.read(f"{_FOLDER}/{part}{suffix}") for suffix in (".xml", ".bin")))


def _check(networks: Networks, image_size: int, classes: int, novelty: Novelty | None) -> None:
    """Raise ValueError if the networks do not fit each other, the metadata of the file or the novelty."""
    # One input and one output each, or ValueError.
    ports = [port for part in PARTS for (port,) in (networks[part].inputs, networks[part].outputs)]
    actual = [f"{port.element_type.get_type_name()} {port.partial_shape}".replace(" [0..,", " [?,") for port in ports]
    features = actual[1]
    expected = [f"u8 [?,{image_size},{image_size},3]", features, features, f"f32 [?,{classes}]"]
    if actual != expected:
        raise ValueError(f"the inputs and outputs of the networks must be {expected}, and are {actual}")
    if novelty is not None and not features.endswith(f",{novelty.train_features.shape[1]}]"):
        raise ValueError(f"novelty has features {novelty.train_features.shape}, and the network {features}")
