"""Predictions of one model, formatted for the table, JSON and CSV."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from realwaste.cli.predict_table import Column, max_width
from realwaste.cli.predictions_csv import Value, path_cell
from realwaste.core.file_names import printable
from realwaste.models import image_predictions
from realwaste.models.image_predictions import NOT_SURE, ImagePrediction
from realwaste.models.novelty import UNLIKE
from realwaste.models.remote_image import RemoteImage
from realwaste.models.session import Session

_REMARK_WIDTH = 15  # characters at least; longer remarks are folded


@dataclass(frozen=True)
class OneModel:
    """A `predict_output.Predictor` with one model.

    Attributes:
        top: how many classes of each photograph are shown.
        min_confidence: the probability below which a prediction is "not sure"; None never says so.
    """

    session: Session
    top: int
    min_confidence: float | None

    @property
    def shown_classes(self) -> int:
        """How many classes are shown: `top`, or all if the model has fewer."""
        return min(self.top, len(self.session.facts.classes))

    def predict_paths(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[ImagePrediction]:
        predictions = image_predictions.predict_images(self.session, paths, remote)
        return image_predictions.apply_min_confidence(predictions, self.min_confidence)

    def json_header(self) -> dict[str, Any]:
        return image_predictions.model_record(self.session) | {"min_confidence": self.min_confidence}

    def json_record(self, result: ImagePrediction) -> dict[str, Any]:
        return image_predictions.record(result, self.top)

    def table_columns(self, name_width: int) -> list[Column]:
        """The file, a class and its probability `shown_classes` times, and remarks if there is a novelty score."""
        columns, class_width = [Column("file", name_width)], max_width([*self.session.facts.classes, NOT_SURE])
        for rank in range(self.shown_classes):
            heading = "next" if rank else "most likely"
            columns += [Column(heading, class_width), Column("", len("100.0%"), right=True)]
        return columns if self.session.novelty is None else [*columns, Column("but", _REMARK_WIDTH)]

    def table_cells(self, result: ImagePrediction) -> list[Text]:
        file = Text(printable(result.name))
        error = [] if result.error is None else [Text(printable(result.error), "red")]
        if not result.predictions:
            return [file, *error]
        row = [file]
        if result.not_sure:
            row += [Text(NOT_SURE, "bold yellow"), Text()]
        for rank, prediction in enumerate(result.predictions[: self.shown_classes - len(row) // 2]):
            style = "dim" if rank or result.not_sure else "bold"
            row += [Text(printable(prediction.name), style), Text(f"{prediction.probability:.1%}", style)]
        remarks = [*([Text(UNLIKE, "yellow")] if result.is_novel else []), *error]
        return [*row, Text("; ").join(remarks)] if remarks else row

    def csv_header(self) -> list[str]:
        next_classes = (
            f"{name}_{rank}" for rank in range(2, self.shown_classes + 1) for name in ("class", "probability")
        )
        last = ("strangeness", "unlike", "not_sure", "error")
        return ["path", "class", "most_likely", "probability", *next_classes, *last]

    def csv_row(self, result: ImagePrediction) -> list[Value]:
        path = path_cell(result.name)
        if not result.predictions:
            return [path, *[None] * (len(self.csv_header()) - 2), result.error]
        classes: list[Value] = []
        for prediction in result.predictions[: self.shown_classes]:
            classes += [prediction.name, prediction.probability]
        return [path, result.label, *classes, result.novelty_score, result.is_novel, result.not_sure, result.error]
