"""Predictions of one model, or of several side by side, formatted for JSON, CSV, and a table.

A row of the table is printed as soon as its prediction is there, so column widths are fixed before the first row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from realwaste.core.csv_rows import Value, path_cell
from realwaste.core.file_names import printable, to_unicode
from realwaste.images.remote_image import RemoteImage
from realwaste.models import image_predictions
from realwaste.models.image_predictions import NOT_SURE, ImagePrediction
from realwaste.models.novelty import UNLIKE
from realwaste.models.session import Session

_GAP = 2
_MIN_FIRST_WIDTH = 16  # characters, however narrow the terminal is


def max_width(texts: Iterable[str]) -> int:
    """Terminal cells that the widest text takes; 0 without texts."""
    return max((cell_len(printable(text)) for text in texts), default=0)


@dataclass(frozen=True)
class Column:
    """A column of a RowTable; `content_width` is that of the widest cell, in terminal cells."""

    heading: str
    content_width: int = 0
    right: bool = False


class RowTable:
    """Prints rows to a console. On a narrow terminal the first column shrinks; text is folded, never cut."""

    def __init__(self, console: Console, columns: Sequence[Column]) -> None:
        self._console, self._columns = console, columns
        first, *rest = (max(column.content_width, cell_len(column.heading)) for column in columns)
        available = console.width - sum(rest) - _GAP * len(rest)
        self._widths = [max(_MIN_FIRST_WIDTH, min(first, available)), *rest]

    def print_header(self) -> None:
        """Print the headings and a line below them."""
        self.print_row([Text(column.heading, "bold") for column in self._columns])
        line = "-" if self._console.options.ascii_only else "─"
        self._console.print(line * min(self._console.width, sum(self._widths) + _GAP * (len(self._widths) - 1)))

    def print_row(self, cells: Sequence[Text]) -> None:
        """Print a row. It may have fewer cells than columns: the last cell takes the rest of the line."""
        grid, last = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False), len(cells) - 1
        for number, (column, width) in enumerate(zip(self._columns[: last + 1], self._widths, strict=False)):
            is_last = number == last
            right = column.right and not (is_last and number + 1 < len(self._columns))
            grid.add_column(
                width=None if is_last else width,
                min_width=width if right else None,
                justify="right" if right else "left",
                overflow="fold",
            )
        grid.add_row(*cells)
        self._console.print(grid, highlight=False)


NO_PREDICTION = "without a prediction"
_UNLIKE = ", unlike"  # short for novelty.UNLIKE
_REMARK_WIDTH = 15  # characters at least; longer remarks are folded


@dataclass(frozen=True)
class SingleModelPredictor:
    """Predicts with one model, and formats the predictions as JSON, rows of a CSV file and a table."""

    session: Session
    top: int  # classes of each photograph to show
    min_confidence: float | None  # the probability below which a prediction is "not sure"; None never says so

    @property
    def shown_classes(self) -> int:
        return min(self.top, len(self.session.metadata.classes))

    def predict_paths(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[ImagePrediction]:
        predictions = image_predictions.predict_images(self.session, paths, remote)
        return image_predictions.apply_min_confidence(predictions, self.min_confidence)

    def json_header(self) -> dict[str, Any]:
        return image_predictions.model_record(self.session) | {"min_confidence": self.min_confidence}

    def json_record(self, result: ImagePrediction) -> dict[str, Any]:
        return image_predictions.record(result, self.top)

    def table_columns(self, name_width: int) -> list[Column]:
        """The file, a class and its probability `shown_classes` times, and remarks if there is a novelty score."""
        columns, class_width = [Column("file", name_width)], max_width([*self.session.metadata.classes, NOT_SURE])
        for rank in range(self.shown_classes):
            heading = "next" if rank else "most likely"
            columns += [Column(heading, class_width), Column("", len("100.0%"), right=True)]
        return columns if self.session.novelty is None else [*columns, Column("note", _REMARK_WIDTH)]

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

    def summary_label(self, result: ImagePrediction) -> str:
        """What the last line counts the photograph as."""
        return result.label or NO_PREDICTION

    def csv_header(self) -> list[str]:
        return image_predictions.csv_header(self.shown_classes)

    def csv_row(self, result: ImagePrediction) -> list[Value]:
        return image_predictions.csv_row(result, self.shown_classes)


@dataclass(frozen=True)
class PhotoPredictions:
    """The predictions of all models for one photograph, by model name."""

    by_model: dict[str, ImagePrediction]

    @property
    def name(self) -> str:
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
class MultiModelPredictor:
    """Several models, by name, with the methods of SingleModelPredictor."""

    models: Mapping[str, SingleModelPredictor]
    min_confidence: float | None

    def predict_paths(self, paths: Iterable[Path], remote: Mapping[Path, RemoteImage]) -> Iterator[PhotoPredictions]:
        files = list(paths)
        for results in zip(*(model.predict_paths(files, remote) for model in self.models.values()), strict=True):
            yield PhotoPredictions(dict(zip(self.models, results, strict=True)))

    def json_header(self) -> dict[str, Any]:
        models = {name: image_predictions.model_record(model.session) for name, model in self.models.items()}
        return {"models": models, "min_confidence": self.min_confidence}

    def json_record(self, result: PhotoPredictions) -> dict[str, Any]:
        records = {name: self.models[name].json_record(prediction) for name, prediction in result.by_model.items()}
        for record in records.values():
            del record["path"]
        return {"path": to_unicode(result.name), "models": records, "agree": result.agree}

    def table_columns(self, name_width: int) -> list[Column]:
        extra = len(f" 100.0%{_UNLIKE}") + (0 if self.min_confidence is None else len(f"{NOT_SURE} ()"))
        widths = {name: max_width(model.session.metadata.classes) + extra for name, model in self.models.items()}
        return [Column("file", name_width), *(Column(printable(name), width) for name, width in widths.items())]

    def table_cells(self, result: PhotoPredictions) -> list[Text]:
        file = Text(printable(result.name))
        errors = {prediction.error for prediction in result.by_model.values()}
        if result.error is not None and len(errors) == 1:
            return [file, Text(printable(result.error), "red")]
        return [file, *(_cell(prediction) for prediction in result.by_model.values())]

    def summary_label(self, result: PhotoPredictions) -> str:
        if result.agree is None:
            return f"{NOT_SURE} by a model" if result.error is None else NO_PREDICTION
        return "on which all models agree" if result.agree else "on which they do not"

    def csv_header(self) -> list[str]:
        columns = ("class", "most_likely", "probability", "unlike")
        return ["path", *(f"{name}_{column}" for name in self.models for column in columns), "agree", "error"]

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
