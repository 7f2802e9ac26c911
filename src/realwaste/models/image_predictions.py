"""What a classifier says of image files, in their order; of thousands too, since only a few are in memory at a time."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from realwaste.models.probabilities import Probabilities
from realwaste.models.session import Session
from realwaste.models.temperature_scaling import tempered
from realwaste.core import machine
from realwaste.images import reader
from realwaste.images.reader import Pixels, UnreadableImageError
from realwaste.models.remote_image import Remote
from realwaste.core.file_names import unicode

UNDEFINED = "the model's answer is no number: its training diverged"
NOT_SURE = "not sure"
_AHEAD = 2  # batches that are being read while the model works on another
_ALL_HERE: Mapping[Path, Remote] = MappingProxyType({})


@dataclass(frozen=True)
class Prediction:
    """A class and its probability."""

    name: str
    probability: float

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"class": self.name, "probability": self.probability}


@dataclass(frozen=True)
class Answer:
    """Of one file: every class with its probability, the most probable first, or the reason why there is none.

    Attributes:
        error: why there is no answer; beside predictions, why there is no overlay or copy.
        strangeness: how strange the picture is to the model, where the model has a measure of it.
        unlike: whether that is more than 95 % of its validation pictures are.
        not_sure: whether `judged` takes the answer back.
        source: the address of a photograph that was brought to `path`, or `-` for standard input.
        overlay: the picture of where the model looked, if one was written.
        copy: of the photograph, where it was sorted to, if it was.
    """

    path: Path
    predictions: tuple[Prediction, ...] = ()
    error: str | None = None
    strangeness: float | None = None
    unlike: bool | None = None
    not_sure: bool = False
    source: str | None = None
    overlay: Path | None = None
    copy: Path | None = None

    @property
    def name(self) -> str:
        """What the photograph was given as."""
        return self.source or str(self.path)

    @property
    def said(self) -> str | None:
        """A class, or "not sure"; None where there is no answer."""
        if not self.predictions:
            return None
        return NOT_SURE if self.not_sure else self.predictions[0].name


def answers(asked: Session, paths: Iterable[Path], remote: Mapping[Path, Remote] = _ALL_HERE) -> Iterator[Answer]:
    """One answer a path, as soon as its batch is through; a file that cannot be read has an error in its place.

    Args:
        remote: of those that are not here yet, what brings them.
    """
    for part, pictures in _pictures(paths, remote, asked.facts.image_size, asked.extract.rows):
        pixels = [picture for picture in pictures if not isinstance(picture, str)]
        said = iter(said_of(asked, pixels) if pixels else ())
        for path, picture in zip(part, pictures, strict=True):
            answer = Answer(path, source=remote[path].source if path in remote else None)
            if isinstance(picture, str):
                yield replace(answer, error=picture)
                continue
            row, strangeness, unlike = next(said)
            if np.isfinite(row).all():
                predictions = ranked(row, asked.facts.classes)
                yield replace(answer, predictions=predictions, strangeness=strangeness, unlike=unlike)
            else:
                yield replace(answer, error=UNDEFINED)


def judged(answered: Iterable[Answer], least: float | None) -> Iterator[Answer]:
    """The same answers, "not sure" where one is less probable than `least`, or of what is unlike anything learned.

    None takes no answer back.
    """
    for answer in answered:
        unsure = least is not None and answer.error is None
        yield replace(answer, not_sure=_unsure(answer, least or 0.0)) if unsure else answer


def with_failure(answer: Answer, reason: str) -> Answer:
    """The same answer, which stands, with the reason why something that belongs to it could not be written."""
    return replace(answer, error=reason if answer.error is None else f"{answer.error}; {reason}")


def _unsure(answer: Answer, least: float) -> bool:
    return bool(answer.unlike) or answer.predictions[0].probability < least


def said_of(asked: Session, pixels: Sequence[Pixels]) -> list[tuple[Probabilities, float | None, bool | None]]:
    """Of pictures of the model's size.

    Calibrated probabilities (classes,) of each, its strangeness and whether it is unlike what was learned: None of a
    model that has no measure of it.
    """
    raw, features = asked(np.stack(pixels))
    likely, known = tempered(raw, asked.facts.temperature), asked.novelty
    if known is None:
        return [(row, None, None) for row in likely]
    strange = known.strangeness(features)
    return [(row, float(one), bool(one > known.threshold)) for row, one in zip(likely, strange, strict=True)]


def ranked(row: Probabilities, classes: Sequence[str]) -> tuple[Prediction, ...]:
    """A model's output for one picture, the most probable class first."""
    if len(row) != len(classes):
        raise ValueError(f"{len(row)} outputs for {len(classes)} classes")
    return tuple(Prediction(classes[number], float(row[number])) for number in np.argsort(-row, kind="stable"))


def facts_of(asked: Session) -> dict[str, Any]:
    """As JSON has it: the model's facts, its caution, and the strangeness from which on a picture is unlike."""
    facts, known = asked.facts, asked.novelty
    threshold = None if known is None else known.threshold
    return {"model": asdict(facts), "caution": facts.caution(), "strangeness_threshold": threshold}


def record(answer: Answer, top: int) -> dict[str, Any]:
    """An answer as JSON has it."""
    return {
        "path": unicode(answer.name),
        "answer": answer.said,
        "predictions": [prediction.record() for prediction in answer.predictions[:top]],
        "strangeness": answer.strangeness,
        "unlike": answer.unlike,
        "not_sure": answer.not_sure,
        "error": None if answer.error is None else unicode(answer.error),
        "overlay": None if answer.overlay is None else unicode(answer.overlay),
        "copy": None if answer.copy is None else unicode(answer.copy),
    }


def _pictures(
    paths: Iterable[Path], remote: Mapping[Path, Remote], size: int, batch_size: int
) -> Iterator[tuple[Sequence[Path], list[Pixels | str]]]:
    """Batches of paths, each with its picture or the reason why it has none."""
    coming: deque[tuple[Sequence[Path], list[Future[Pixels | str]]]] = deque()
    left = iter(paths)
    with ThreadPoolExecutor(machine.available_cpus()) as readers, _given_up(readers, remote):
        while part := list(islice(left, batch_size)):
            coming.append((part, [readers.submit(_picture, path, remote.get(path), size) for path in part]))
            if len(coming) > _AHEAD:
                yield _waited_for(*coming.popleft())
        while coming:
            yield _waited_for(*coming.popleft())


@contextmanager
def _given_up(readers: ThreadPoolExecutor, remote: Mapping[Path, Remote]) -> Iterator[None]:
    """Where the block ends early, by Ctrl-C or since nobody wants more, nothing waits for what is on its way."""
    try:
        yield
    except BaseException:
        readers.shutdown(wait=False, cancel_futures=True)
        for one in remote.values():
            one.give_up()
        raise


def _waited_for(part: Sequence[Path], futures: list[Future[Pixels | str]]) -> tuple[Sequence[Path], list[Pixels | str]]:
    return part, [future.result() for future in futures]


def _picture(path: Path, remote: Remote | None, size: int) -> Pixels | str:
    try:
        if remote:
            remote.bring()
        return reader.read(path, size)
    except UnreadableImageError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
