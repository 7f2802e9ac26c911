"""A trained classifier as one .keras file, with classes, calibration, novelty detection and OpenVINO networks inside.

It also contains a summary of its layers, and hashes of its training and validation photographs, so that these do not
test it.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from realwaste.core.errors import UserError, first_line
from realwaste.core.files import atomic_replace
from realwaste.core.library_settings import importing_tensorflow
from realwaste.core.log import logger
from realwaste.models import novelty, training_photographs
from realwaste.models.architecture import Architecture
from realwaste.models.novelty import Novelty
from realwaste.models.training_photographs import TrainingPhotographs

if TYPE_CHECKING:
    import keras

    from realwaste.models.inference_networks import Networks

_RECORD, _NOVELTY, _PHOTOGRAPHS = "realwaste.json", "novelty.npz", "photographs.npz"
_ARCHITECTURE = "architecture.json"
# A file may come from anybody. Keras does not compress what it writes, so its parts may unpack to at most
# _RATIO_FROM_BYTES plus _MAX_RATIO times the size of the file.
_MAX_RECORD_BYTES, _MAX_RATIO, _RATIO_FROM_BYTES = 1 << 20, 10, 16 << 20
_MAX_BATCH_BYTES = 8 << 30
# Raised by zipfile and NumPy for damaged files: RuntimeError for an encrypted part, MemoryError for a wrong size.
_FILE_ERRORS = (OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
_READ_ERRORS = (*_FILE_ERRORS, RuntimeError, KeyError, ValueError, TypeError)


def _unique(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise ValueError("a class must not be listed twice")
    return classes


Part = TypeVar("Part", Novelty, TrainingPhotographs, Architecture)
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Classes = Annotated[tuple[Text, ...], Field(min_length=2, max_length=10_000), AfterValidator(_unique)]


@dataclass(frozen=True)
class ModelMetadata:
    """The metadata of a model. The types are the schema that validates the record in a model file.

    Attributes:
        name: cnn, irv2, densenet or edge; or as `realwaste train` was told.
        classes: in the order of the model's outputs.
        image_size: pixels a side of its input.
        dataset: the name of the data set that it was trained on.
        backbone: a name in applications.APPLICATIONS, a file name, or CNN.
        weights: the initial weights: imagenet, random, a file name, or "trained from random".
        temperature: calibrates its probabilities (realwaste.models.probabilities.apply_temperature).
        precision: the Keras dtype policy in which it was validated and tested, and in which it predicts.
        batch_size: images to predict at once; they fitted in memory where the model was trained.
        origin: of the data set: realwaste, synthetic or given.
    """

    name: Text
    classes: Classes
    image_size: Annotated[int, Field(ge=1, le=4096)]
    dataset: Text
    backbone: Text
    weights: Text
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    precision: Annotated[str, StringConstraints(pattern="^(float32|mixed_bfloat16|mixed_float16)$")] = "float32"
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 16
    origin: Text = "given"

    def caution(self) -> str | None:
        """A warning to show with every prediction of a model that was not trained on photographs or real weights."""
        if self.origin == "synthetic":
            return "trained on generated pictures, not photographs: its answers mean nothing"
        if self.weights == "random":
            return "a head on a backbone with random weights: its answers are hardly better than chance"
        return None


@dataclass(frozen=True)
class Classifier:
    """RGB uint8 images (n, image_size, image_size, 3) in, probabilities (n, classes) out, preprocessing inside."""

    model: "keras.Model"  # in float32
    metadata: ModelMetadata
    novelty: Novelty | None = None  # None in files of earlier versions, and if the network diverged
    photographs: TrainingPhotographs | None = None  # of its training and validation; None in files of earlier versions
    networks: "Networks | None" = None  # `model` converted to OpenVINO, for sessions and the file; None until then


def save(path: Path, classifier: Classifier) -> None:
    """Write a .keras file with the record, novelty and converted networks inside, which Keras ignores."""
    from realwaste.models import inference_networks, layer_table  # noqa: PLC0415 - OpenVINO, TensorFlow

    summary = layer_table.describe(classifier.model)
    try:
        networks = classifier.networks or inference_networks.convert(classifier.model)
    except Exception as error:  # the layers of a backbone may be any, and converters raise many types
        logger.warning(
            "%s will need TensorFlow to predict, because OpenVINO cannot convert it: %s", path, first_line(error)
        )
        networks = {}
    with atomic_replace(path) as temporary:
        classifier.model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            for name, content in ((_RECORD, classifier.metadata), (_ARCHITECTURE, summary)):
                archive.writestr(name, json.dumps(asdict(content), ensure_ascii=False, indent=2))
            if classifier.novelty is not None:
                with archive.open(_NOVELTY, "w") as member:
                    novelty.save(member, classifier.novelty)
            if classifier.photographs is not None:
                with archive.open(_PHOTOGRAPHS, "w") as member:
                    training_photographs.save(member, classifier.photographs)
            inference_networks.write(archive, networks)


def read_metadata(path: Path) -> ModelMetadata:
    """Read and validate only the record of a model file, without importing TensorFlow.

    Raises:
        UserError: the file does not exist, or this pipeline did not write it.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device may never end
            rule = f"A model must be a regular file, and {path} is a folder, a pipe or a device."
            raise UserError(rule, "Name a .keras file.")
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive)
            return _validate(archive.read(_RECORD))
    except FileNotFoundError:
        rule, remedy = f"There must be a model at {path}.", "Run `dvc repro` to train it."
        raise UserError(rule, remedy) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "record"
        raise _invalid(path, f"{_RECORD}: {place}: {first['msg']}") from None
    except OSError as error:
        rule, remedy = f"{path} must be a file that can be read.", "Name the file of a model, as models/irv2.keras."
        raise UserError(rule, remedy, error.strerror or str(error)) from None
    except _READ_ERRORS as error:
        raise _invalid(path, f"{type(error).__name__}: {error}") from None


def _validate(record: bytes) -> ModelMetadata:
    metadata = TypeAdapter(ModelMetadata).validate_json(record, strict=True, extra="forbid")
    if metadata.batch_size * metadata.image_size**2 * 3 > _MAX_BATCH_BYTES:
        raise ValueError(f"{_RECORD}: a batch of {metadata.batch_size} images of {metadata.image_size} pixels a side")
    return metadata


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise ValueError for a small file whose parts would unpack to fill the memory."""
    total = sum(info.file_size for info in archive.infolist())
    if total > _RATIO_FROM_BYTES + _MAX_RATIO * path.stat().st_size:
        raise ValueError(f"it unpacks to {total:,} bytes")
    size = archive.getinfo(_RECORD).file_size
    if size > _MAX_RECORD_BYTES:
        raise ValueError(f"{_RECORD} has {size:,} bytes")


def _invalid(path: Path, reason: str) -> UserError:
    rule = f"{path} must be a model that this pipeline saved: a whole .keras file with its classes inside."
    return UserError(rule, "Train it again with `dvc repro`.", reason)


def load(path: Path) -> Classifier:
    """Read a model file in safe mode, so that code inside it is never run.

    Raises:
        UserError: see `read_metadata`; or Keras cannot read the file.
    """
    metadata = read_metadata(path)
    with importing_tensorflow():
        import keras  # noqa: PLC0415 - takes seconds; a wrong path is reported before

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        classifier = Classifier(model, metadata, read_novelty(path), read_photographs(path))
        _check_shapes(classifier)
    except UserError:
        raise
    except Exception as error:  # loading an arbitrary file may raise anything
        remedy = "Train it again with `dvc repro`."
        raise UserError(f"{path} must be a whole Keras model.", remedy, first_line(error)) from error
    return classifier


def _check_shapes(classifier: Classifier) -> None:
    """Raise ValueError if the record or the novelty do not fit the network."""
    from realwaste.models import feature_split  # noqa: PLC0415 - Keras

    model, metadata = classifier.model, classifier.metadata
    described = (None, metadata.image_size, metadata.image_size, 3), (None, len(metadata.classes))
    if (model.input_shape, model.output_shape) != described:
        raise ValueError(
            f"{_RECORD} describes {described}, and the network has {model.input_shape, model.output_shape}"
        )
    if classifier.novelty is not None:
        width = classifier.novelty.train_features.shape[1]
        expected = feature_split.split_classifier(model)[0].output_shape[-1]
        if width != expected:
            raise ValueError(f"{_NOVELTY} has features of {width} numbers, and the network of {expected}")


def read_novelty(path: Path) -> Novelty | None:
    """Read only the novelty of a model file that `read_metadata` has accepted; None if it has none.

    Raises:
        UserError: it is damaged.
    """
    return _read_part(path, _NOVELTY, novelty.load)


def read_photographs(path: Path) -> TrainingPhotographs | None:
    """Read only the hashes of the training and validation photographs, as `read_novelty` reads the novelty."""
    return _read_part(path, _PHOTOGRAPHS, training_photographs.load)


def read_architecture(path: Path) -> Architecture | None:
    """Read only the summary of the network, as `read_novelty` reads the novelty."""
    validate = TypeAdapter(Architecture).validate_json
    return _read_part(path, _ARCHITECTURE, lambda member: validate(member.read()))


def _read_part(path: Path, name: str, load: Callable[[IO[bytes]], Part]) -> Part | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return load(io.BytesIO(archive.read(name))) if name in archive.namelist() else None
    except _READ_ERRORS as error:
        raise _invalid(path, f"{name}: {first_line(error)}") from None
