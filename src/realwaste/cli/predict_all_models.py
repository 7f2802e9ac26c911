"""Predictions of several models for the same photographs, side by side, for the table, JSON and CSV."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from realwaste.cli.predict_table import Column, max_width
from realwaste.cli.predictions_csv import Value, path_cell
from realwaste.core.file_names import printable, to_unicode
from realwaste.models import image_predictions
from realwaste.models.image_predictions import NOT_SURE, ImagePrediction
from realwaste.models.remote_image import RemoteImage
from realwaste.models.session import Session

_UNLIKE = ", unlike"  # short for novelty.UNLIKE


@dataclass(frozen=True)
class PhotoPredictions:
    """The predictions of all models for one photograph, by model name."""

    by_model: dict[str, ImagePrediction]

    @property
    def name(self) -> str:
        """The photograph as the user named it."""
        return next(iter(self.by_model.values())).name

    @property
    def error(self) -> str | None:
        """Why a model has no prediction; of a photograph that cannot be read, the same for all models."""
        return next((result.error for result in self.by_model.values() if result.error is not None), None)

    @property
    def agree(self) -> bool | None:
        """Whether all models predict the same class; None if one has no prediction or is not sure."""
        labels = {result.label for result in self.by_model.values()}
        return None if labels & {None, NOT_SURE} else len(labels) == 1


@dataclass(frozen=True)
class AllModels:
    """A `predict_output.Predictor` with several models.

    Attributes:
        sessions: by model name, in the order of the columns.
        top, min_confidence: as of predict_one_model.OneModel.
    """

    sessions: Mapping[str, Session]
    top: int
    min_confidence: float | None

    def predict_paths(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[PhotoPredictions]:
        files = list(paths)
        streams = [
            image_predictions.apply_min_confidence(
                image_predictions.predict_images(session, files, remote), self.min_confidence
            )
            for session in self.sessions.values()
        ]
        for results in zip(*streams, strict=True):
            yield PhotoPredictions(dict(zip(self.sessions, results, strict=True)))

    def json_header(self) -> dict[str, Any]:
        models = {name: image_predictions.model_record(session) for name, session in self.sessions.items()}
        return {"models": models, "min_confidence": self.min_confidence}

    def json_record(self, result: PhotoPredictions) -> dict[str, Any]:
        records = {name: image_predictions.record(prediction, self.top) for name, prediction in result.by_model.items()}
        for record in records.values():
            del record["path"]
        return {"path": to_unicode(result.name), "models": records, "agree": result.agree}

    def table_columns(self, name_width: int) -> list[Column]:
        extra = len(f" 100.0%{_UNLIKE}") + (0 if self.min_confidence is None else len(f"{NOT_SURE} ()"))
        widths = {name: max_width(session.facts.classes) + extra for name, session in self.sessions.items()}
        return [Column("file", name_width), *(Column(printable(name), width) for name, width in widths.items())]

    def table_cells(self, result: PhotoPredictions) -> list[Text]:
        file = Text(printable(result.name))
        errors = {prediction.error for prediction in result.by_model.values()}
        if result.error is not None and len(errors) == 1:
            return [file, Text(printable(result.error), "red")]
        return [file, *(_cell(prediction) for prediction in result.by_model.values())]

    def csv_header(self) -> list[str]:
        columns = ("class", "most_likely", "probability", "unlike")
        return ["path", *(f"{name}_{column}" for name in self.sessions for column in columns), "agree", "error"]

    def csv_row(self, result: PhotoPredictions) -> list[Value]:
        cells: list[Value] = []
        for prediction in result.by_model.values():
            best = prediction.predictions[0] if prediction.predictions else None
            best_cells = (best.name, best.probability) if best else (None, None)
            cells += [prediction.label, *best_cells, prediction.is_novel]
        return [path_cell(result.name), *cells, result.agree, result.error]


def _cell(prediction: ImagePrediction) -> Text:
    if prediction.error is not None:
        return Text(printable(prediction.error), "red")
    best = prediction.predictions[0]
    text = f"{printable(best.name)} {best.probability:.1%}{_UNLIKE if prediction.is_novel else ''}"
    return Text(f"{NOT_SURE} ({text})", "yellow") if prediction.not_sure else Text(text)
