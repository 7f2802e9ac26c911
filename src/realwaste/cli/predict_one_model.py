"""One model's answers, as people, programs and spreadsheets have them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from realwaste.cli import predict_table
from realwaste.cli.predictions_csv import Value, path_cell
from realwaste.cli.row_table import Column
from realwaste.models import image_predictions
from realwaste.models.image_predictions import ImagePrediction
from realwaste.models.remote_image import RemoteImage
from realwaste.models.session import Session


@dataclass(frozen=True)
class OneModel:
    """As of realwaste.cli.predict_view.View.

    Attributes:
        top: how many classes of each photograph are told.
        least: the probability below which an answer is "not sure"; None for any.
    """

    asked: Session
    top: int
    least: float | None

    @property
    def ranks(self) -> int:
        """How many classes there are to tell."""
        return min(self.top, len(self.asked.facts.classes))

    def answers(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[ImagePrediction]:
        return image_predictions.apply_min_confidence(
            image_predictions.predict_images(self.asked, paths, remote), self.least
        )

    def facts(self) -> dict[str, Any]:
        return image_predictions.model_record(self.asked) | {"min_confidence": self.least}

    def record(self, told: ImagePrediction) -> dict[str, Any]:
        return image_predictions.record(told, self.top)

    def columns(self, files: int) -> list[Column]:
        measures = self.asked.novelty is not None
        return predict_table.columns(files, self.asked.facts.classes, self.top, measures=measures)

    def cells(self, told: ImagePrediction) -> list[Text]:
        return predict_table.cells(told, self.ranks)

    def header(self) -> list[str]:
        others = (f"{what}_{rank}" for rank in range(2, self.ranks + 1) for what in ("class", "probability"))
        ends = ("strangeness", "unlike", "not_sure", "error")
        return ["path", "class", "most_likely", "probability", *others, *ends]

    def row(self, told: ImagePrediction) -> list[Value]:
        if not told.predictions:
            return [path_cell(told.name), *[None] * (len(self.header()) - 2), told.error]
        likely = [value for one in told.predictions[: self.ranks] for value in (one.name, one.probability)]
        return [path_cell(told.name), told.label, *likely, told.novelty_score, told.is_novel, told.not_sure, told.error]
