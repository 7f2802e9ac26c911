"""What there is to decide: the photographs whose labels are doubted, each with those shot before and after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.core.files import read_csv, read_json
from realwaste.dataset.labels import classes_of

RAW = Path("data/raw")
MANIFEST, SUSPECTS, METRICS = Path("data/manifest.csv"), Path("data/suspects.csv"), Path("metrics/suspects.json")
_REACH = 2  # photographs on each side


@dataclass(frozen=True)
class Queue:
    """Photographs to decide on.

    Attributes:
        manifest: path, label, sha256, series and shot, a row a photograph; pages name photographs by their row.
        classes: sorted.
        suspects: rows of suspects.csv.
        models: how many were asked about each label.
    """

    manifest: pd.DataFrame
    classes: list[str]
    suspects: pd.DataFrame
    models: int

    def records(self) -> list[dict[str, Any]]:
        """The suspects as JSON has them: row, path, label, what the models say, and the neighbours, in their order."""
        paths, labels, shots = (self.manifest[name].tolist() for name in ("path", "label", "shot"))
        rows = {path: row for row, path in enumerate(paths)}
        placed = self.manifest.dropna(subset=["series", "shot"])
        series = [own.sort_values("shot").index.tolist() for _, own in placed.groupby("series")]
        places = {row: (own, place) for own in series for place, row in enumerate(own)}

        def around(row: int) -> list[dict[str, Any]]:
            """The photograph itself and its neighbours, and how many places each is from it; none without a place."""
            own, place = places.get(row, ([], 0))
            near = own[max(0, place - _REACH) : place + _REACH + 1]
            return [
                {"row": one, "path": paths[one], "label": labels[one], "away": int(shots[one] - shots[row])}
                for one in near
            ]

        return [
            {"row": rows[one["path"]]} | one | {"around": around(rows[one["path"]])}
            for one in self.suspects.to_dict("records")
        ]


def load(count: int | None = None) -> Queue:
    """The queue of the present folder, as the pipeline left it.

    Args:
        count: how many to decide on, the most doubtful first; None for those that a model at least doubts.

    Raises:
        UserError: the pipeline has not come so far here, or there is nothing to decide.
    """
    manifest, suspects = _table(MANIFEST), _table(SUSPECTS)
    try:
        models = int(read_json(METRICS)["models"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _missing(METRICS, error) from None
    suspects = suspects[suspects["path"].isin(manifest["path"])]
    chosen = suspects[suspects["models_disagreeing"] > 0] if count is None else suspects.head(count)
    if chosen.empty:
        rule = f"There must be a label to look at: of {len(suspects):,} in {SUSPECTS}, no model doubts any."
        raise UserError(rule, "Give --count N to look at the N that they are least sure of.")
    return Queue(manifest, classes_of(manifest), chosen.reset_index(drop=True), models)


def _table(path: Path) -> pd.DataFrame:
    try:
        return read_csv(path)
    except (OSError, pd.errors.EmptyDataError) as error:
        raise _missing(path, error) from None


def _missing(path: Path, error: Exception) -> UserError:
    rule = f"`realwaste review` shows what the stage suspects left in a checkout, and {path} must be there."
    return UserError(rule, "Run `dvc repro suspects`, or `dvc pull` what another run left.", _said(error))


def _said(error: Exception) -> Sequence[str] | str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
