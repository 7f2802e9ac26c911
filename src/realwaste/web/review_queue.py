"""The photographs with doubtful labels, each with its neighbours in capture order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.core.files import read_csv, read_json
from realwaste.dataset.labels import classes_of

RAW = Path("data/raw")
MANIFEST, SUSPECTS, METRICS = Path("data/manifest.csv"), Path("data/suspects.csv"), Path("metrics/suspects.json")
_NEIGHBOURS = 2  # photographs shown on each side


@dataclass(frozen=True)
class Queue:
    """Photographs to decide on.

    Attributes:
        manifest: the columns path, label, sha256, series and shot, one row per photograph; the page refers to rows.
        classes: sorted.
        suspects: rows of suspects.csv.
        models: number of models that predicted each label.
    """

    manifest: pd.DataFrame
    classes: list[str]
    suspects: pd.DataFrame
    models: int

    def records(self) -> list[dict[str, Any]]:
        """The suspects as JSON records: row, path, label, predictions, and neighbours in capture order."""
        paths, labels, shots = (self.manifest[name].tolist() for name in ("path", "label", "shot"))
        rows = {path: row for row, path in enumerate(paths)}
        placed = self.manifest.dropna(subset=["series", "shot"])
        series = [group.sort_values("shot").index.tolist() for _, group in placed.groupby("series")]
        positions = {row: (series_rows, position) for series_rows in series for position, row in enumerate(series_rows)}

        def neighbours(row: int) -> list[dict[str, Any]]:
            """The photograph and its neighbours with their distance in shots; empty if its capture order is unknown."""
            series_rows, position = positions.get(row, ([], 0))
            near = series_rows[max(0, position - _NEIGHBOURS) : position + _NEIGHBOURS + 1]
            return [
                {"row": other, "path": paths[other], "label": labels[other], "away": int(shots[other] - shots[row])}
                for other in near
            ]

        return [
            {"row": rows[suspect["path"]]} | suspect | {"around": neighbours(rows[suspect["path"]])}
            for suspect in self.suspects.to_dict("records")
        ]


def load(count: int | None = None) -> Queue:
    """Read the queue from the pipeline's results in the current folder.

    Args:
        count: number of photographs, the most doubtful first; None for all whose label at least one model doubts.

    Raises:
        UserError: the pipeline has no results here, or there is nothing to decide.
    """
    manifest, suspects = _table(MANIFEST), _table(SUSPECTS)
    try:
        models = int(read_json(METRICS)["models"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _missing(METRICS, error) from None
    suspects = suspects[suspects["path"].isin(manifest["path"])]
    selected = suspects[suspects["models_disagreeing"] > 0] if count is None else suspects.head(count)
    if selected.empty:
        rule = f"At least one label must be doubtful: no model doubts any of the {len(suspects):,} in {SUSPECTS}."
        raise UserError(rule, "Use --count N to review the N least certain labels.")
    return Queue(manifest, classes_of(manifest), selected.reset_index(drop=True), models)


def _table(path: Path) -> pd.DataFrame:
    try:
        return read_csv(path)
    except (OSError, pd.errors.EmptyDataError) as error:
        raise _missing(path, error) from None


def _missing(path: Path, error: Exception) -> UserError:
    rule = f"`realwaste review` reads the results of the stage suspects, and {path} must exist."
    reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return UserError(rule, "Run `dvc repro suspects`.", reason)
