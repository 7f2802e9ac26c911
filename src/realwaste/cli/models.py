"""`realwaste models`: the saved models that are here, with what their run measured of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from realwaste.cli import model_loading, standard_output
from realwaste.cli.options import AsJson
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable, to_unicode
from realwaste.core.files import read_json
from realwaste.core.log import logger
from realwaste.models import model_file, registry
from realwaste.models.model_file import ModelMetadata

_MAX_SCORE = 1e9  # a larger number is no score and no time; neither is NaN
_SCORES = ("val_accuracy", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "latency_ms")
_MISSING = "–"


def models(as_json: AsJson = False) -> None:
    """List the saved models, with their scores, size and speed.

    Lists the models in models/, or in the folder that the variable REALWASTE_MODEL names. Scores and the time per
    image were measured by the run that trained them, on its machine. They are left out if they belong to another
    model than the file. Those of `realwaste train` are in NAME_metrics.json beside the model.

    Example: `realwaste models --json`
    """
    saved = list_models()
    if as_json:
        sources = {"folder": str(model_loading.models_folder()), "scores_from": str(model_loading.scores_file())}
        standard_output.print_json(sources | {"models": [model.record() for model in saved]})
        return
    standard_output.print_tables([_table(saved)])
    for model in saved:
        if model.is_default:
            logger.info("without --model, %s is used: %s", model.path.stem, model_loading.choose_model(None)[1])


@dataclass(frozen=True)
class SavedModel:
    """A model file."""

    path: Path
    size_bytes: int
    metadata: ModelMetadata | None  # None if the file cannot be read, which `error` explains
    error: str | None
    scores: dict[str, float] | None  # what its run measured, by _SCORES; None if that is not known
    is_default: bool  # whether it is used where no model is named

    def record(self) -> dict[str, Any]:
        """The values for JSON."""
        return {
            "name": to_unicode(self.path.stem),
            "path": to_unicode(self.path),
            "bytes": self.size_bytes,
            "chosen": self.is_default,
            "model": self.metadata and asdict(self.metadata),
            "caution": self.metadata and self.metadata.caution(),
            "scores": self.scores,
            "error": None if self.error is None else to_unicode(self.error),
        }


def list_models() -> list[SavedModel]:
    """Every model that `model_loading.available_models` finds; UserError if there is none."""
    paths = model_loading.available_models()
    if not paths:
        raise UserError("There must be a model to list.", model_loading.no_model_remedy())
    run_scores = _read_record(model_loading.scores_file())
    try:
        default: Path | None = model_loading.choose_model(None)[0]
    except UserError:  # there are no scores to choose by
        default = None
    return [read_model(path, run_scores, default) for path in paths]


def read_model(path: Path, run_scores: Mapping[str, Any] | None = None, default: Path | None = None) -> SavedModel:
    """Read the record and the scores of one model file; `run_scores` is the content of `scores_file`, if read."""
    size = path.stat().st_size if path.exists() else 0
    try:
        metadata = model_file.read_metadata(path)
    except UserError as error:
        return SavedModel(path, size, None, f"{error.rule} {error.received or ''}".strip(), None, path == default)
    own_scores = path.with_name(f"{path.stem}{registry.METRICS_SUFFIX}")
    if own_scores.is_file():
        row = _read_record(own_scores)
        run_scores = {"dataset": row.get("dataset"), path.stem: row}
    elif run_scores is None:
        run_scores = _read_record(model_loading.scores_file())
    return SavedModel(path, size, metadata, None, _scores_of(path.stem, metadata, run_scores), path == default)


def _read_record(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        logger.warning("%s cannot be read, so no scores are shown: %s", file, error)
        return {}


def _scores_of(name: str, metadata: ModelMetadata, run_scores: Mapping[str, Any]) -> dict[str, float] | None:
    """The scores of a model; None if they belong to another run's model (other data, backbone or weights)."""
    row = run_scores.get(name)
    if not isinstance(row, Mapping):
        return None
    scored_model = run_scores.get("dataset"), row.get("backbone"), row.get("weights")
    if scored_model != (metadata.dataset, metadata.backbone, metadata.weights):
        return None
    return {key: row[key] for key in _SCORES if isinstance(row.get(key), int | float) and abs(row[key]) < _MAX_SCORE}


def _table(saved: Sequence[SavedModel]) -> Table:
    """A row per model; the last column, if there is one, has read errors and cautions."""
    numbers = ("validation", "test", "95 % interval", "MB", "ms per image")
    table = standard_output.empty_table(("model", "backbone", "weights", "data"), *numbers)
    remarks = {model.path: model.error or (model.metadata.caution() if model.metadata else None) for model in saved}
    if any(remarks.values()):
        table.add_column("note", overflow="fold")
    for model in saved:
        metadata = model.metadata
        names = (metadata.backbone, metadata.weights, metadata.dataset) if metadata else (_MISSING,) * 3
        cells = [Text(printable(model.path.stem), "bold" if model.is_default else "")]
        cells += [Text(printable(name)) for name in names]
        cells += [Text(figure) for figure in _figures(model)]
        if remark := remarks[model.path]:
            cells.append(Text(printable(remark), "red" if model.error else "yellow"))
        table.add_row(*cells)
    return table


def _figures(model: SavedModel) -> list[str]:
    scores = model.scores or {}
    interval = _MISSING
    if {"test_accuracy_low", "test_accuracy_high"} <= scores.keys():
        interval = f"{scores['test_accuracy_low']:.3f} to {scores['test_accuracy_high']:.3f}"
    accuracies = [f"{scores[key]:.3f}" if key in scores else _MISSING for key in ("val_accuracy", "test_accuracy")]
    speed = f"{scores['latency_ms']:.0f}" if "latency_ms" in scores else _MISSING
    return [*accuracies, interval, f"{model.size_bytes / 1e6:.1f}", speed]
