"""Unlabelled photographs, asked of one model or of several, and those of them that are worth a label most."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.cli import choose_acquisition, predictions_csv
from realwaste.cli.output_options import Kind
from realwaste.cli.predictions_csv import Value
from realwaste.core.errors import UserError
from realwaste.core.file_names import unicode
from realwaste.models import image_predictions
from realwaste.models.image_predictions import Answer, Prediction
from realwaste.models.session import Session
from realwaste.runtime.inference_engine import Network

SHOWN = 2  # classes of each photograph


@dataclass(frozen=True)
class Candidate:
    """A photograph, by the mean answer of the models.

    Attributes:
        predictions: every class with its probability, the most probable first.
        uncertainty: 1 minus the margin of the first two, 0 to 1.
        models_disagreeing: for how many models another class is the most probable.
        unlike: whether it is unlike anything that one of the models has learned; None where none can tell.
    """

    path: Path
    predictions: tuple[Prediction, ...]
    uncertainty: float
    models_disagreeing: int
    unlike: bool | None


@dataclass(frozen=True)
class Choice:
    """What was chosen, the least sure first, of how many candidates; path and reason of what has no answer."""

    chosen: list[Candidate]
    candidates: int
    errors: list[tuple[Path, str]]


Vector = NDArray[np.float32]
Seen = list[tuple[Answer, Vector | None]]


def check_alike(sessions: Sequence[Session]) -> None:
    """Raise UserError where models do not know the same classes: their answers have no mean."""
    first, *rest = [asked.facts for asked in sessions]
    for other in rest:
        if other.classes != first.classes:
            rule = f"Models asked together must know the same classes; {first.name} and {other.name} do not."
            raise UserError(rule, "Give others by --model, or one alone.", list(other.classes))


def answers(asked: Session, paths: Sequence[Path]) -> Iterator[tuple[Answer, Vector | None]]:
    """As prediction.answers, each with the photograph's features (width,); None where it could not be read."""
    noting = _Noting(asked.classify.run, asked.classify.rows, asked.classify.shape)
    for answer in image_predictions.answers(replace(asked, classify=noting), paths):
        yield answer, noting.seen.popleft() if answer.error in {None, image_predictions.UNDEFINED} else None


@dataclass(frozen=True)
class _Noting(Network):
    """The second part of a classifier, which notes the features that it is given: of several views the first."""

    seen: deque[Vector] = field(default_factory=deque)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        self.seen.extend(inputs[:, 0] if inputs.ndim == 3 else inputs)
        return super().__call__(inputs)


def made(asked: Sequence[Seen], classes: Sequence[str], count: int) -> Choice:
    """Choose `count` photographs.

    Args:
        asked: what `answers` gave of the same paths, a model.
    """
    # For each path, what each model said.
    said = [list(told) for told in zip(*asked, strict=True)]
    failed = [next((answer for answer, _ in told if answer.error is not None), None) for told in said]
    errors = [(one.path, one.error or "") for one in failed if one is not None]
    known = [told for told, one in zip(said, failed, strict=True) if one is None]
    if not known:
        return Choice([], 0, errors)
    each = np.array([[_row(answer, classes) for answer, _ in told] for told in known])  # (n, models, classes)
    mean = each.mean(axis=1)
    uncertain = choose_acquisition.uncertainty(mean)
    otherwise = (each.argmax(axis=2) != mean.argmax(axis=1)[:, np.newaxis]).sum(axis=1)
    best = choose_acquisition.chosen(uncertain, _features(known), count)
    candidates = [
        Candidate(
            known[n][0][0].path,
            image_predictions.ranked(mean[n], classes),
            float(uncertain[n]),
            int(otherwise[n]),
            _any(answer.unlike for answer, _ in known[n]),
        )
        for n in best
    ]
    return Choice(candidates, len(known), errors)


def _features(known: Sequence[Sequence[tuple[Answer, Vector | None]]]) -> NDArray[np.float32]:
    """Those of all models side by side, each model's of one length (n, width of all)."""
    own = [np.stack([np.asarray(vector) for _, vector in model]) for model in zip(*known, strict=True)]
    return choose_acquisition.unit(np.concatenate([choose_acquisition.unit(vectors) for vectors in own], axis=1))


def _any(unlike: Iterable[bool | None]) -> bool | None:
    told = [one for one in unlike if one is not None]
    return any(told) if told else None


def _row(answer: Answer, classes: Sequence[str]) -> list[float]:
    by_name = {one.name: one.probability for one in answer.predictions}
    return [by_name[name] for name in classes]


def record(sessions: Iterable[Session], choice: Choice) -> dict[str, Any]:
    """Everything as one JSON object."""
    return {
        "models": [image_predictions.facts_of(asked) for asked in sessions],
        "candidates": choice.candidates,
        "chosen": [
            {
                "path": unicode(one.path),
                "uncertainty": one.uncertainty,
                "predictions": [said.record() for said in one.predictions[:SHOWN]],
                "models_disagreeing": one.models_disagreeing,
                "unlike": one.unlike,
            }
            for one in choice.chosen
        ],
        "errors": [{"path": unicode(path), "error": unicode(error)} for path, error in choice.errors],
    }


_COLUMNS = ("path", "label", "uncertainty", "best", "best_probability", "second", "second_probability")


def _is_unlabelled(file: Path) -> bool:
    """Whether a file is a list of an earlier run in which nobody has filled in a label."""
    columns = predictions_csv.header_of(file)
    if columns[:3] != list(_COLUMNS[:3]) or columns[-1] != "unlike":
        return False
    return not any(row.get("label") for row in predictions_csv.rows_of(file))


LIST = Kind("a list of an earlier run without a label", _is_unlabelled)


def write_csv(file: Path, choice: Choice) -> None:
    """For a spreadsheet: path, label (empty, for whoever labels), and what the models say, a row a photograph."""
    header = [*_COLUMNS, "models_disagreeing", "unlike"]
    with predictions_csv.alone(file), predictions_csv.written(file, header, LIST) as write:
        for one in choice.chosen:
            said: list[Value] = []
            for two in one.predictions[:SHOWN]:
                said += [two.name, round(two.probability, 4)]
            said += [None] * (2 * SHOWN - len(said))
            path = predictions_csv.path_cell(str(one.path))
            write([path, None, round(one.uncertainty, 4), *said, one.models_disagreeing, one.unlike])
