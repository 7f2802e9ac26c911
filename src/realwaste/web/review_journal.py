"""What the person decides: into relabel.yaml at once, and taken back again."""

import hashlib
import threading
from collections import defaultdict
from pathlib import Path

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.dataset import label_corrections
from realwaste.dataset.label_corrections import DROP, KEEP, Decision
from realwaste.images.reader import UnreadableImageError, read_bytes


class Journal:
    """The decisions of one session, from several threads.

    The file is read again for each, so that lines that were written by hand or by git meanwhile stay.
    """

    def __init__(self, manifest: pd.DataFrame, root: Path, file: Path = label_corrections.FILE) -> None:
        """`manifest` has path, label and sha256 of the photographs in `root`."""
        self._manifest = manifest
        self._hashes = dict(zip(manifest["path"], manifest["sha256"], strict=True))
        self._root, self._file = root, file
        # By window: what stood before, and each answer.
        self._answers: defaultdict[str, list[tuple[dict[str, Decision | None], dict[str, Decision]]]] = defaultdict(
            list
        )
        self._lock = threading.Lock()
        self._read: tuple[object, dict[str, Decision]] = (None, {})  # the file's state, and what it then held

    def can_undo(self, window: str = "") -> bool:
        """Whether there is an answer of this session to take back, which came from that window of the browser."""
        return bool(self._answers.get(window))

    def labels(self) -> dict[str, str | None]:
        """The class that was decided on for each photograph; None of one that is dropped.

        Raises:
            UserError: as of relabelling.load.
        """
        decisions = self._decisions()
        decided = self._manifest.loc[label_corrections.holding(self._manifest, decisions), "path"]
        return {path: _label(path, decisions[path]) for path in decided}

    def answer(self, path: str, label: str | None, window: str = "") -> list[str]:
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
        made = {one: _decision(one, expected, label) for one in same}
        with self._lock:
            with label_corrections.editing(self._file) as decisions:
                before = {one: decisions.get(one) for one in same}
                decisions.update(made)
            self._answers[window].append((before, made))
        return same

    def undo(self, window: str = "") -> list[str]:
        """Take the last answer of a window back; the paths that it was of, none where there is no answer left.

        Raises:
            UserError: somebody has answered otherwise since, in another session or by hand: that answer stays.
        """
        with self._lock:
            if not self.can_undo(window):
                return []
            before, made = self._answers[window][-1]
            with label_corrections.editing(self._file) as decisions:
                undone = [path for path, decision in made.items() if decisions.get(path) == decision]
                for path in undone:
                    del decisions[path]
                    if (earlier := before[path]) is not None:
                        decisions[path] = earlier
            self._answers[window].pop()
        if not undone:
            rule = f"{next(iter(made))} was decided anew elsewhere since, and that answer stays."
            raise UserError(rule, "Undo again for the answer before this one.")
        return undone

    def _decisions(self) -> dict[str, Decision]:
        """Those of the file, which is read again where it has changed."""
        about = self._file.stat() if self._file.exists() else None
        state = about and (about.st_ino, about.st_size, about.st_mtime_ns)
        if state is None or state != self._read[0]:
            self._read = (state, label_corrections.load(self._file))
        return self._read[1]

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
