"""A trained classifier as one file: what Keras saves, and inside it what the numbers mean."""

import io
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from realwaste.models import novelty
from realwaste.models.novelty import Novelty
from realwaste.core.errors import UserError, first_line
from realwaste.core.files import replacing

if TYPE_CHECKING:
    import keras

_RECORD, _NOVELTY = "realwaste.json", "novelty.npz"
# A file may come from anybody. Its parts may unpack to so many times its size, beyond the first bytes: Keras, which
# wrote them, compresses nothing.
_MAX_RECORD_BYTES, _MAX_RATIO, _RATIO_FROM_BYTES = 1 << 20, 10, 16 << 20
_MAX_BATCH_BYTES = 8 << 30
# What zipfile and NumPy raise: RuntimeError for an encrypted part, MemoryError for a header that claims too much.
_DAMAGED = (
    OSError,
    RuntimeError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
)


def _unique(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise ValueError("each class must stand once")
    return classes


Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Classes = Annotated[tuple[Text, ...], Field(min_length=2, max_length=10_000), AfterValidator(_unique)]


@dataclass(frozen=True)
class Facts:
    """What a file says of its model. The types are the schema by which the record in a file is validated.

    Attributes:
        name: cnn, irv2, densenet or edge.
        classes: in the order of the model's outputs.
        image_size: pixels a side of its input.
        dataset: the name of what it was trained on.
        backbone: a constructor of keras.applications, a file's name, or CNN.
        weights: what it started from: imagenet, random, a file's name, or "trained from random".
        temperature: by which its scores are divided to make its probabilities mean what they say (calibration).
        precision: the Keras dtype policy in which it was validated and tested, and in which it answers.
        batch_size: pictures to ask about at once; so many fit in memory where it was made.
        origin: of the data set, as fetch found it: realwaste, synthetic or given.
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
        """What must stand beside every answer of a model that learned nothing of waste; None where it may have."""
        if self.origin == "synthetic":
            return "trained on generated pictures, not photographs: its answers mean nothing"
        if self.weights == "random":
            return "a head on a backbone with random weights: its answers are hardly better than chance"
        return None


@dataclass(frozen=True)
class Classifier:
    """RGB uint8 pictures (n, image_size, image_size, 3) in, probabilities (n, classes) out, preprocessing inside.

    Attributes:
        model: the network as Keras saves it, in float32: to save, to export, to look inside.
        novelty: by which a picture is strange to it; None in files of before there was one, and of a diverged network.
    """

    model: "keras.Model"
    facts: Facts
    novelty: Novelty | None = None


def save(path: Path, classifier: Classifier) -> None:
    """Write a model in Keras' own format, .keras, with its record and novelty, which other programs pass over."""
    with replacing(path) as temporary:
        classifier.model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_RECORD, json.dumps(asdict(classifier.facts), ensure_ascii=False, indent=2))
            if classifier.novelty is not None:
                with archive.open(_NOVELTY, "w") as member:
                    novelty.save(member, classifier.novelty)


def facts_of(path: Path) -> Facts:
    """Read and validate the record of a model file alone, without waiting for TensorFlow.

    Raises:
        UserError: no such file, or one that this pipeline did not write.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may be read for ever
            rule = f"A model must be a regular file, and {path} is a folder, a pipe or a device."
            raise UserError(rule, "Name a .keras file.")
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive)
            return _validated(archive.read(_RECORD))
    except FileNotFoundError:
        rule, remedy = f"There must be a model at {path}.", "Run `dvc repro` to train it, or `dvc pull` to fetch it."
        raise UserError(rule, remedy) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "record"
        raise _unsound(path, f"{_RECORD}: {place}: {first['msg']}") from None
    except OSError as error:
        rule, remedy = f"{path} must be a file that can be read.", "Name the file of a model, as models/irv2.keras."
        raise UserError(rule, remedy, error.strerror or str(error)) from None
    except _DAMAGED as error:
        raise _unsound(path, f"{type(error).__name__}: {error}") from None


def _validated(record: bytes) -> Facts:
    facts = TypeAdapter(Facts).validate_json(record, strict=True, extra="forbid")
    if facts.batch_size * facts.image_size**2 * 3 > _MAX_BATCH_BYTES:
        raise ValueError(f"{_RECORD}: a batch of {facts.batch_size} pictures of {facts.image_size} pixels a side")
    return facts


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """ValueError for a file that is small and would fill the memory."""
    total = sum(info.file_size for info in archive.infolist())
    if total > _RATIO_FROM_BYTES + _MAX_RATIO * path.stat().st_size:
        raise ValueError(f"it unpacks to {total:,} bytes")
    size = archive.getinfo(_RECORD).file_size
    if size > _MAX_RECORD_BYTES:
        raise ValueError(f"{_RECORD} has {size:,} bytes")


def _unsound(path: Path, reason: str) -> UserError:
    rule = f"{path} must be a model that this pipeline saved: a whole .keras file with its classes inside."
    return UserError(rule, "Train it again with `dvc repro`.", reason)


def load(path: Path) -> Classifier:
    """Read a model file, in safe mode: a file from anywhere runs no code.

    Raises:
        UserError: as of `facts_of`, and for a file that Keras cannot read.
    """
    facts = facts_of(path)
    import keras  # noqa: PLC0415 - seconds, which a wrong path need not wait for

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        classifier = Classifier(model, facts, novelty_of(path))
        _check_shapes(classifier)
    except UserError:
        raise
    except Exception as error:  # Anything may be in the file, and loading raises accordingly.
        remedy = "Train it again with `dvc repro`."
        raise UserError(f"{path} must be a whole Keras model.", remedy, first_line(error)) from error
    return classifier


def _check_shapes(classifier: Classifier) -> None:
    """ValueError where the network is not the one that its record and its novelty describe."""
    from realwaste.models import feature_split  # noqa: PLC0415 - Keras

    model, facts, measure = classifier.model, classifier.facts, classifier.novelty
    described = (None, facts.image_size, facts.image_size, 3), (None, len(facts.classes))
    if (model.input_shape, model.output_shape) != described:
        raise ValueError(
            f"{_RECORD} describes {described}, and the network has {model.input_shape, model.output_shape}"
        )
    if measure is not None:
        width = feature_split.parts(model)[0].output_shape[-1]
        if measure.learned.shape[1] != width:
            raise ValueError(
                f"{_NOVELTY} has features of {measure.learned.shape[1]} numbers, and the network of {width}"
            )


def novelty_of(path: Path) -> Novelty | None:
    """Read the novelty of a model file alone, as of Classifier, which `facts_of` has accepted.

    Raises:
        UserError: what is there is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return novelty.load(io.BytesIO(archive.read(_NOVELTY))) if _NOVELTY in archive.namelist() else None
    except _DAMAGED as error:
        raise _unsound(path, f"{_NOVELTY}: {first_line(error)}") from None
