"""Several models' answers about the same photographs, a column each."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from realwaste.cli.predict_table import widest
from realwaste.cli.predictions_csv import Value, path_cell
from realwaste.cli.row_table import Column
from realwaste.core.file_names import printable, to_unicode
from realwaste.models import image_predictions
from realwaste.models.image_predictions import NOT_SURE, ImagePrediction
from realwaste.models.remote_image import RemoteImage
from realwaste.models.session import Session

_UNLIKE = ", unlike"  # anything that this model has learned


@dataclass(frozen=True)
class Together:
    """Of one photograph: an answer a model."""

    answers: dict[str, ImagePrediction]

    @property
    def name(self) -> str:
        """What the photograph was given as."""
        return next(iter(self.answers.values())).name

    @property
    def error(self) -> str | None:
        """Why a model has no answer; one photograph that cannot be read has the same reason for all."""
        return next((one.error for one in self.answers.values() if one.error is not None), None)


@dataclass(frozen=True)
class SideBySide:
    """As of realwaste.cli.predict_view.View.

    Attributes:
        asked: the models by their names, as they are to stand.
        top, least: as of OneModel.
    """

    asked: Mapping[str, Session]
    top: int
    least: float | None

    def answers(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[Together]:
        files = list(paths)
        each = [
            image_predictions.apply_min_confidence(image_predictions.predict_images(one, files, remote), self.least)
            for one in self.asked.values()
        ]
        for together in zip(*each, strict=True):
            yield Together(dict(zip(self.asked, together, strict=True)))

    def facts(self) -> dict[str, Any]:
        return {
            "models": {name: image_predictions.model_record(one) for name, one in self.asked.items()},
            "min_confidence": self.least,
        }

    def record(self, told: Together) -> dict[str, Any]:
        own = {name: image_predictions.record(answer, self.top) for name, answer in told.answers.items()}
        for answer in own.values():
            del answer["path"]
        return {"path": to_unicode(told.name), "models": own, "agree": _agree(told)}

    def columns(self, files: int) -> list[Column]:
        words = len(f" 100.0%{_UNLIKE}") + (0 if self.least is None else len(f"{NOT_SURE} ()"))
        widths = {name: widest(one.facts.classes) + words for name, one in self.asked.items()}
        return [Column("file", files), *(Column(printable(name), width) for name, width in widths.items())]

    def cells(self, told: Together) -> list[Text]:
        file = Text(printable(told.name))
        errors = {answer.error for answer in told.answers.values()}
        if told.error is not None and len(errors) == 1:
            return [file, Text(printable(told.error), "red")]
        return [file, *(_cell(answer) for answer in told.answers.values())]

    def header(self) -> list[str]:
        each = [f"{name}_{what}" for name in self.asked for what in ("class", "most_likely", "probability", "unlike")]
        return ["path", *each, "agree", "error"]

    def row(self, told: Together) -> list[Value]:
        each: list[Value] = []
        for answer in told.answers.values():
            likely = answer.predictions[0] if answer.predictions else None
            most = (likely.name, likely.probability) if likely else (None, None)
            each += [answer.label, *most, answer.is_novel]
        return [path_cell(told.name), *each, _agree(told), told.error]


def _agree(told: Together) -> bool | None:
    """Whether all models say the same class; None where one has no answer, or is not sure."""
    said = {answer.label for answer in told.answers.values()}
    return None if said & {None, NOT_SURE} else len(said) == 1


def _cell(answer: ImagePrediction) -> Text:
    if answer.error is not None:
        return Text(printable(answer.error), "red")
    likely = answer.predictions[0]
    words = f"{printable(likely.name)} {likely.probability:.1%}{_UNLIKE if answer.is_novel else ''}"
    return Text(f"{NOT_SURE} ({words})", "yellow") if answer.not_sure else Text(words)
