"""The saved models that are here, with what their run measured of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from realwaste.cli import model_resolution
from realwaste.core.errors import UserError
from realwaste.core.file_names import unicode
from realwaste.core.files import read_json
from realwaste.core.log import logger
from realwaste.models import model_file
from realwaste.models.model_file import Facts

_LARGEST = 1e9  # more is no score and no time; NaN is none either
_SCORES = ("val_accuracy", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "latency_ms")


@dataclass(frozen=True)
class Entry:
    """A model file.

    Attributes:
        facts: what it says of itself; None where it cannot be read, `error` has the reason then.
        scores: of model_choice.scores(), as far as they are those of this file; None where there are none.
        chosen: whether it answers where no model is named.
    """

    path: Path
    size: int
    facts: Facts | None
    error: str | None
    scores: Mapping[str, float] | None
    chosen: bool

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": unicode(self.path.stem),
            "path": unicode(self.path),
            "bytes": self.size,
            "chosen": self.chosen,
            "model": None if self.facts is None else asdict(self.facts),
            "caution": None if self.facts is None else self.facts.caution(),
            "scores": None if self.scores is None else dict(self.scores),
            "error": None if self.error is None else unicode(self.error),
        }


def entries() -> list[Entry]:
    """Every model file in model_choice.folder().

    Raises:
        UserError: there is none.
    """
    paths = model_resolution.present()
    if not paths:
        raise UserError("There must be a model to list.", model_resolution.nothing_there())
    measured = _measured()
    try:
        chosen: Path | None = model_resolution.find(None)
    except UserError:  # nothing to choose by
        chosen = None
    return [entry(path, measured, chosen) for path in paths]


def entry(path: Path, measured: Mapping[str, Any] | None = None, chosen: Path | None = None) -> Entry:
    """One of them.

    Args:
        measured: the record of model_choice.scores(); read where it is left out.
        chosen: the model that answers where none is named.
    """
    size = path.stat().st_size if path.exists() else 0
    try:
        facts = model_file.facts_of(path)
    except UserError as error:
        return Entry(path, size, None, f"{error.rule} {error.received or ''}".strip(), None, path == chosen)
    scores = _scores_of(path.stem, facts, _measured() if measured is None else measured)
    return Entry(path, size, facts, None, scores, path == chosen)


def _measured() -> dict[str, Any]:
    try:
        return read_json(model_resolution.scores())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        logger.warning("%s cannot be read, so no scores are told: %s", model_resolution.scores(), error)
        return {}


def _scores_of(name: str, facts: Facts, measured: Mapping[str, Any]) -> dict[str, float] | None:
    """None where they are of another run's model: of another data set, backbone or weights."""
    row = measured.get(name)
    if not isinstance(row, Mapping):
        return None
    measured_of = measured.get("dataset"), row.get("backbone"), row.get("weights")
    if measured_of != (facts.dataset, facts.backbone, facts.weights):
        return None
    return {key: row[key] for key in _SCORES if isinstance(row.get(key), int | float) and abs(row[key]) < _LARGEST}
