"""What the person decides: into relabel.yaml at once, and taken back again."""

import hashlib
import threading
from pathlib import Path

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.dataset import relabelling
from realwaste.dataset.relabelling import DROP, KEEP, Decision
from realwaste.images.reader import UnreadableImageError, read_bytes


class Journal:
    """The decisions of one session, from several threads.

    The file is read again for each, so that lines that were written by hand or by git meanwhile stay.
    """

    def __init__(self, manifest: pd.DataFrame, root: Path, file: Path = relabelling.FILE) -> None:
        """`manifest` has path, label and sha256 of the photographs in `root`."""
        self._manifest = manifest
        self._hashes = dict(zip(manifest["path"], manifest["sha256"], strict=True))
        self._root, self._file = root, file
        self._before: list[dict[str, Decision | None]] = []  # each answer's photographs, as they stood before it
        self._lock = threading.Lock()

    @property
    def can_undo(self) -> bool:
        """Whether there is an answer of this session to take back."""
        return bool(self._before)

    def labels(self) -> dict[str, str | None]:
        """The class that was decided on for each photograph; None of one that is dropped.

        Raises:
            UserError: as of relabelling.load.
        """
        decisions = relabelling.load(self._file)
        decided = self._manifest.loc[relabelling.holding(self._manifest, decisions), "path"]
        return {path: _label(path, decisions[path]) for path in decided}

    def answer(self, path: str, label: str | None) -> list[str]:
        """Write that a photograph, and each other file of the same bytes, is of a class, or is dropped (None).

        Returns:
            The paths that this was written for.

        Raises:
            KeyError: the manifest has no such photograph.
            UserError: the file is not the one in the manifest any more; or as of relabelling.load.
        """
        expected = self._hashes[path]
        if self._now(path) != expected:
            rule = f"{path} must be the file that the pipeline has seen; it is gone, or another."
            raise UserError(rule, "Run `dvc repro suspects`, then begin again.")
        same = [one for one, sha256 in self._hashes.items() if sha256 == expected]
        with self._lock:
            decisions = relabelling.load(self._file)
            before = {one: decisions.get(one) for one in same}
            relabelling.save(decisions | {one: _decision(one, expected, label) for one in same}, self._file)
            self._before.append(before)
        return same

    def undo(self) -> list[str]:
        """Take the last answer back; the paths that it was of, none where there is no answer left."""
        with self._lock:
            if not self._before:
                return []
            decisions, before = relabelling.load(self._file), self._before[-1]
            kept = {path: decision for path, decision in (decisions | before).items() if decision is not None}
            relabelling.save(kept, self._file)
            self._before.pop()
        return list(before)

    def _now(self, path: str) -> str | None:
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
