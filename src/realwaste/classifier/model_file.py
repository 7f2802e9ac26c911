"""A trained classifier as one file: what Keras saves, and inside it what the numbers mean."""

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.classifier import novelty
from realwaste.classifier.novelty import Novelty
from realwaste.core.errors import UserError, first_line
from realwaste.core.files import replacing

if TYPE_CHECKING:
    import keras

_RECORD, _NOVELTY = "realwaste.json", "novelty.npz"


@dataclass(frozen=True)
class Facts:
    """What a file says of its model.

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

    name: str
    classes: tuple[str, ...]
    image_size: int
    dataset: str
    backbone: str
    weights: str
    temperature: float = 1.0
    precision: str = "float32"
    batch_size: int = 16
    origin: str = "given"

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
    """Read the record of a model file alone, without waiting for TensorFlow.

    Raises:
        UserError: no such file, or one that this pipeline did not write.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            record = json.loads(archive.read(_RECORD))
        return Facts(**record | {"classes": tuple(record["classes"])})
    except FileNotFoundError:
        rule, remedy = f"There must be a model at {path}.", "Run `dvc repro` to train it, or `dvc pull` to fetch it."
        raise UserError(rule, remedy) from None
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} must be a model that this pipeline saved: a whole .keras file with its classes inside.",
            "Train it again with `dvc repro`.",
            f"{type(error).__name__}: {error}",
        ) from None


def load(path: Path) -> Classifier:
    """Read a model file, in safe mode: a file from anywhere runs no code.

    Raises:
        UserError: as of `facts_of`, and for a file that Keras cannot read.
    """
    facts = facts_of(path)
    import keras  # noqa: PLC0415 - seconds, which a wrong path need not wait for

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        learned = novelty_of(path)
    except Exception as error:  # Anything may be in the file, and loading raises accordingly.
        remedy = "Train it again with `dvc repro`."
        raise UserError(f"{path} must be a whole Keras model.", remedy, first_line(error)) from error
    return Classifier(model, facts, learned)


def novelty_of(path: Path) -> Novelty | None:
    """Read the novelty of a model file alone, as of Classifier."""
    with zipfile.ZipFile(path) as archive:
        return novelty.load(io.BytesIO(archive.read(_NOVELTY))) if _NOVELTY in archive.namelist() else None
