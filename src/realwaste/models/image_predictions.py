"""Predictions for image files, one after the other and in their order: only a few images are in memory at a time."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from realwaste.core import machine
from realwaste.core.csv_rows import Value, path_cell
from realwaste.core.file_names import to_unicode
from realwaste.images import reader
from realwaste.images.reader import Pixels, UnreadableImageError
from realwaste.images.remote_image import RemoteImage
from realwaste.models.probabilities import Probabilities, apply_temperature
from realwaste.models.session import Session

UNDEFINED = "the model's output is NaN: its training diverged"
NOT_SURE = "not sure"
_BATCHES_AHEAD = 2  # that are read while the model computes another
_NONE_REMOTE: Mapping[Path, RemoteImage] = MappingProxyType({})
ArrayPrediction = tuple[Probabilities, float | None, bool | None]
"""Of an image: calibrated probabilities (classes,), novelty score, is novel; None without novelty detection."""


@dataclass(frozen=True)
class ClassProbability:
    """A class and its probability."""

    name: str
    probability: float

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"class": self.name, "probability": self.probability}


@dataclass(frozen=True)
class ImagePrediction:
    """The prediction for one file: every class with its probability, the most probable first, or an error."""

    path: Path
    predictions: tuple[ClassProbability, ...] = ()
    error: str | None = None  # why there is no prediction; if there is one, why its overlay or copy was not written
    novelty_score: float | None = None  # see realwaste.models.novelty; None if the model has no novelty detection
    is_novel: bool | None = None  # whether the score exceeds that of 95 % of the validation images
    not_sure: bool = False  # set by `apply_min_confidence`
    source: str | None = None  # the address of a photograph that was downloaded to `path`, or `-` for standard input
    overlay: Path | None = None  # the Grad-CAM overlay that was written for it
    copy: Path | None = None  # where the photograph was sorted to

    @property
    def name(self) -> str:
        """The file or address as the user named it."""
        return self.source or str(self.path)

    @property
    def label(self) -> str | None:
        """The most probable class, or "not sure"; None if there is no prediction."""
        if not self.predictions:
            return None
        return NOT_SURE if self.not_sure else self.predictions[0].name


def predict_images(
    session: Session, paths: Iterable[Path], remote: Mapping[Path, RemoteImage] = _NONE_REMOTE
) -> Iterator[ImagePrediction]:
    """One prediction per path, as soon as its batch is computed; a file that cannot be read gets an error.

    Args:
        remote: the photographs among `paths` that are still to be downloaded.
    """
    for batch, images in _read_batches(paths, remote, session.metadata.image_size, session.extract.batch_size):
        for path, result in zip(batch, predict_decoded(session, images), strict=True):
            prediction = ImagePrediction(path, source=remote[path].source if path in remote else None)
            if isinstance(result, str):
                yield replace(prediction, error=result)
            else:
                row, novelty_score, is_novel = result
                ranked = rank_classes(row, session.metadata.classes)
                yield replace(prediction, predictions=ranked, novelty_score=novelty_score, is_novel=is_novel)


def apply_min_confidence(
    predictions: Iterable[ImagePrediction], min_confidence: float | None
) -> Iterator[ImagePrediction]:
    """The same predictions, `not_sure` if one is novel or less probable than `min_confidence`; None changes nothing."""
    for prediction in predictions:
        if min_confidence is None or prediction.error is not None:
            yield prediction
        else:
            is_unlikely = prediction.predictions[0].probability < min_confidence
            yield replace(prediction, not_sure=bool(prediction.is_novel) or is_unlikely)


def with_error(prediction: ImagePrediction, reason: str) -> ImagePrediction:
    """The same prediction, with the reason why a file that belongs to it could not be written."""
    return replace(prediction, error=reason if prediction.error is None else f"{prediction.error}; {reason}")


def predict_decoded(session: Session, images: Sequence[Pixels | str]) -> Iterator[ArrayPrediction | str]:
    """The prediction for each image, or why there is none; a text in place of an image is why it cannot be read."""
    pixels = [image for image in images if not isinstance(image, str)]
    predictions = iter(predict_arrays(session, pixels) if pixels else ())
    for image in images:
        if isinstance(image, str):
            yield image
        else:
            prediction = next(predictions)
            yield prediction if np.isfinite(prediction[0]).all() else UNDEFINED


def predict_arrays(session: Session, pixels: Sequence[Pixels]) -> list[ArrayPrediction]:
    """Predict images of the model's size."""
    raw, features = session(np.stack(pixels))
    calibrated, novelty = apply_temperature(raw, session.metadata.temperature), session.novelty
    if novelty is None:
        return [(row, None, None) for row in calibrated]
    scores = novelty.scores(features)
    return [(row, float(score), bool(score > novelty.threshold)) for row, score in zip(calibrated, scores, strict=True)]


def rank_classes(row: Probabilities, classes: Sequence[str]) -> tuple[ClassProbability, ...]:
    """The classes and their probabilities (classes,), the most probable first."""
    if len(row) != len(classes):
        raise ValueError(f"{len(row)} outputs for {len(classes)} classes")
    return tuple(ClassProbability(classes[number], float(row[number])) for number in np.argsort(-row, kind="stable"))


def model_record(session: Session) -> dict[str, Any]:
    """The model as a JSON object: its metadata, its caution, and the novelty score above which an image is novel."""
    metadata = session.metadata
    threshold = None if session.novelty is None else session.novelty.threshold
    return {"model": asdict(metadata), "caution": metadata.caution(), "strangeness_threshold": threshold}


def record(prediction: ImagePrediction, top: int) -> dict[str, Any]:
    """A prediction as a JSON object, with the `top` most probable classes."""
    return {
        "path": to_unicode(prediction.name),
        "answer": prediction.label,
        "predictions": [ranked.record() for ranked in prediction.predictions[:top]],
        "strangeness": prediction.novelty_score,
        "unlike": prediction.is_novel,
        "not_sure": prediction.not_sure,
        "error": None if prediction.error is None else to_unicode(prediction.error),
        "overlay": None if prediction.overlay is None else to_unicode(prediction.overlay),
        "copy": None if prediction.copy is None else to_unicode(prediction.copy),
    }


def csv_header(top: int) -> list[str]:
    """The columns of `csv_row`."""
    next_classes = (f"{name}_{rank}" for rank in range(2, top + 1) for name in ("class", "probability"))
    return ["path", "class", "most_likely", "probability", *next_classes, "strangeness", "unlike", "not_sure", "error"]


def csv_row(prediction: ImagePrediction, top: int) -> list[Value]:
    """A prediction as cells of a CSV file, with the `top` most probable classes: no more than the model has."""
    path = path_cell(prediction.name)
    if not prediction.predictions:
        return [path, *[None] * (len(csv_header(top)) - 2), prediction.error]
    classes = [cell for ranked in prediction.predictions[:top] for cell in (ranked.name, ranked.probability)]
    novelty = prediction.novelty_score, prediction.is_novel
    return [path, prediction.label, *classes, *novelty, prediction.not_sure, prediction.error]


def _read_batches(
    paths: Iterable[Path], remote: Mapping[Path, RemoteImage], size: int, batch_size: int
) -> Iterator[tuple[Sequence[Path], list[Pixels | str]]]:
    """Batches of paths, each path with its image or the reason why it cannot be read."""
    pending: deque[tuple[Sequence[Path], list[Future[Pixels | str]]]] = deque()
    remaining = iter(paths)
    with ThreadPoolExecutor(machine.available_cpus()) as readers:
        try:
            while batch := list(islice(remaining, batch_size)):
                pending.append((batch, [readers.submit(_read_image, path, remote.get(path), size) for path in batch]))
                if len(pending) > _BATCHES_AHEAD:
                    yield _wait_for_batch(*pending.popleft())
            while pending:
                yield _wait_for_batch(*pending.popleft())
        except BaseException:  # Ctrl-C, an error, a closed iterator
            readers.shutdown(wait=False, cancel_futures=True)
            for remote_image in remote.values():
                remote_image.cancel()
            raise


def _wait_for_batch(
    batch: Sequence[Path], futures: list[Future[Pixels | str]]
) -> tuple[Sequence[Path], list[Pixels | str]]:
    return batch, [future.result() for future in futures]


def _read_image(path: Path, remote: RemoteImage | None, size: int) -> Pixels | str:
    try:
        if remote:
            remote.ensure_file()
        return reader.read_image(path, size)
    except UnreadableImageError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
