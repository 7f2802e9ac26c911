"""The photographs with doubtful labels, each with its neighbours in capture order, and the decisions on them."""

import hashlib
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.core.files import read_csv, read_json
from realwaste.dataset import label_corrections
from realwaste.dataset.label_corrections import DROP, KEEP, Decision
from realwaste.dataset.labels import classes_of
from realwaste.images.reader import UnreadableImageError, read_bytes

RAW = Path("data/raw")
MANIFEST, SUSPECTS, METRICS = Path("data/manifest.csv"), Path("data/suspects.csv"), Path("metrics/suspects.json")
_NEIGHBOURS = 2  # photographs shown on each side


@dataclass(frozen=True)
class ReviewQueue:
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


def load(count: int | None = None) -> ReviewQueue:
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
    return ReviewQueue(manifest, classes_of(manifest), selected.reset_index(drop=True), models)


def _table(path: Path) -> pd.DataFrame:
    try:
        return read_csv(path)
    except (OSError, pd.errors.EmptyDataError) as error:
        raise _missing(path, error) from None


def _missing(path: Path, error: Exception) -> UserError:
    rule = f"`realwaste review` reads the results of the stage suspects, and {path} must exist."
    reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return UserError(rule, "Run `dvc repro suspects`.", reason)


class DecisionLog:
    """The decisions of one session; thread-safe.

    Each decision reads the file again, so that lines that a person or git wrote meanwhile are preserved.
    """

    def __init__(self, manifest: pd.DataFrame, root: Path, file: Path = label_corrections.FILE) -> None:
        """`manifest` has the columns path, label and sha256 of the photographs in `root`."""
        self._manifest = manifest
        self._hashes = dict(zip(manifest["path"], manifest["sha256"], strict=True))
        self._root, self._file = root, file
        # Per browser window: for each answer the previous and the new decisions, by path.
        self._history: defaultdict[str, list[tuple[dict[str, Decision | None], dict[str, Decision]]]] = defaultdict(
            list
        )
        self._lock = threading.Lock()

    def can_undo(self, window: str = "") -> bool:
        """Whether this session has an answer from that browser window which can be undone."""
        return bool(self._history.get(window))

    def labels(self) -> dict[str, str | None]:
        """The decided class of each photograph; None for one that is dropped.

        Raises:
            UserError: see label_corrections.load.
        """
        decisions = label_corrections.load(self._file)
        decided_paths = self._manifest.loc[label_corrections.find_decided_rows(self._manifest, decisions), "path"]
        return {path: _label(path, decisions[path]) for path in decided_paths}

    def add_answer(self, path: str, label: str | None, window: str = "") -> list[str]:
        """Write the class of a photograph, or that it is dropped (None), for it and all identical files.

        Returns:
            The paths of these files.

        Raises:
            KeyError: the manifest does not contain the photograph.
            UserError: the file has changed since the manifest was written; or see label_corrections.load.
        """
        expected_hash = self._hashes[path]
        if self._current_hash(path) != expected_hash:
            rule = f"{path} must be the file that the pipeline has read; it was deleted or changed."
            raise UserError(rule, "Run `dvc repro suspects`, then start `realwaste review` again.")
        identical_paths = [other for other, sha256 in self._hashes.items() if sha256 == expected_hash]
        new_decisions = {other: _decision(other, expected_hash, label) for other in identical_paths}
        with self._lock:
            with label_corrections.open_for_editing(self._file) as decisions:
                previous = {other: decisions.get(other) for other in identical_paths}
                decisions.update(new_decisions)
            self._history[window].append((previous, new_decisions))
        return identical_paths

    def undo(self, window: str = "") -> list[str]:
        """Undo the last answer of a window; its paths, empty if there is no answer left.

        Raises:
            UserError: the decision was changed since, in another session or by hand; that change is preserved.
        """
        with self._lock:
            if not self.can_undo(window):
                return []
            previous, new_decisions = self._history[window][-1]
            with label_corrections.open_for_editing(self._file) as decisions:
                undone_paths = [path for path, decision in new_decisions.items() if decisions.get(path) == decision]
                for path in undone_paths:
                    del decisions[path]
                    if (earlier := previous[path]) is not None:
                        decisions[path] = earlier
            self._history[window].pop()
        if not undone_paths:
            rule = f"The decision on {next(iter(new_decisions))} was changed elsewhere since, and is not undone."
            raise UserError(rule, "Undo again to undo the answer before this one.")
        return undone_paths

    def _current_hash(self, path: str) -> str | None:
        try:
            return hashlib.sha256(read_bytes(self._root / path)).hexdigest()
        except (OSError, UnreadableImageError):
            return None


def _folder(path: str) -> str:
    return path.partition("/")[0]


def _decision(path: str, sha256: str, label: str | None) -> Decision:
    if label is None:
        return Decision(sha256, DROP)
    return Decision(sha256, KEEP) if label == _folder(path) else Decision(sha256, label=label)


def _label(path: str, decision: Decision) -> str | None:
    if decision.answer == DROP:
        return None
    return _folder(path) if decision.label is None else decision.label
