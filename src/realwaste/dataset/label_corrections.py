"""Labels corrected by hand: relabel.yaml, one line a photograph, with the hash of the file that was reviewed.

    Glass/Glass_12.jpg: {class: Metal, sha256: 9f86d0…}
    Paper/Paper_3.jpg: {answer: drop, sha256: 60303a…}
    Paper/Paper_7.jpg: {answer: keep, sha256: fd61a0…}

`keep` confirms the folder's label, so that the photograph is not reviewed again. Answers and classes have different
keys, so that a class may have any name.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from realwaste.core.errors import UserError
from realwaste.core.files import exclusive_lock, write_text

FILE = Path("relabel.yaml")
KEEP, DROP = "keep", "drop"
_HEADER = """\
# Labels corrected by hand, applied by `validate_images`: {class: NAME, …}, {answer: drop, …} or {answer: keep, …}, each
# with the SHA-256 of the file. `realwaste review` writes this file and deletes all other comments (docs/labels.md).
"""
_FORMAT = "Write lines as `Glass/Glass_12.jpg: {class: Metal, sha256: …}`, or {answer: drop, …}, or {answer: keep, …}."

_WAIT_S = 10.0
_MAX_DEPTH = 8  # of nested brackets; decisions need one

# The C versions, if available, are ten times as fast; every answer on the review page reads and writes the file.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Decision:
    """A reviewer's decision on one file.

    Attributes:
        sha256: of the reviewed file.
        answer: KEEP or DROP; None if there is a class.
        label: the correct class; None if there is an answer.
    """

    sha256: str
    answer: str | None = None
    label: str | None = None

    def to_record(self) -> dict[str, str]:
        """The decision as relabel.yaml has it."""
        fields = {"answer": self.answer} if self.label is None else {"class": self.label}
        return {name: str(value) for name, value in fields.items()} | {"sha256": self.sha256}


Decisions = Mapping[str, Decision]


@dataclass(frozen=True)
class AppliedDecisions:
    """A table of files with decisions applied.

    Attributes:
        table: with corrected labels, and a boolean column `dropped`.
        counts: of kept, relabelled and dropped files; and file_changed and file_gone for decisions not applied.
        unapplied: the reason for each path whose decision was not applied.
    """

    table: pd.DataFrame
    counts: dict[str, int]
    unapplied: dict[str, str]


class _Line(NamedTuple):
    """A decision, and its text in the file if that is a single line as `save` writes it."""

    decision: Decision
    text: str | None


def load(path: Path = FILE) -> dict[str, Decision]:
    """The decisions by path; empty if the file does not exist or has only comments.

    Raises:
        UserError: the file cannot be read, or an entry is not a decision.
    """
    return {name: line.decision for name, line in _read(path).items()}


@contextmanager
def open_for_editing(path: Path = FILE) -> Iterator[dict[str, Decision]]:
    """Yield the decisions to change in place, and write them if the block succeeds, under a lock.

    Raises:
        UserError: see `load`; or another process holds the lock for seconds.
    """
    remedy = "Give the answer again; end the other `realwaste review` if it hangs."
    with exclusive_lock(path.resolve(), _WAIT_S, remedy):
        lines = _read(path)
        decisions = {name: line.decision for name, line in lines.items()}
        yield decisions
        _write(decisions, lines, path)


def _read(path: Path) -> dict[str, _Line]:
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        events = _limit_depth(yaml.parse(text, Loader=_LOADER))
        try:
            return dict(_parse_lines(path, text, events))
        except UserError:
            deque(events, maxlen=0)  # an error in the YAML syntax has precedence
            raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} must be a YAML file that can be read.", _FORMAT, " ".join(str(error).split())
        ) from None


def _limit_depth(events: Iterable[Any]) -> Iterator[Any]:
    """Pass YAML events on, with a limit on nesting: PyYAML's loader crashes on thousands of nested brackets."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"more than {_MAX_DEPTH} brackets are nested in line {event.start_mark.line + 1}")
        yield event


def _parse_lines(path: Path, text: str, events: Iterator[Any]) -> Iterator[tuple[str, _Line]]:
    """Yield each path and its line. Values stay text, so that a class may be called `1` or `no`."""
    root = next(event for event in events if not isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)))
    if isinstance(root, yaml.StreamEndEvent):
        return
    if not isinstance(root, yaml.MappingStartEvent):
        raise UserError(f"{path} must hold a line for each photograph.", _FORMAT)
    paths: set[str] = set()
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        start: Any = key.start_mark
        place = f"{path}, line {start.line + 1}"
        if not isinstance(key, yaml.ScalarEvent):
            raise UserError(f"{place}: a line begins with a photograph's path.", _FORMAT)
        if key.value in paths:
            raise UserError(f"{place}: a photograph may have one line only.", "Remove one of its lines.", key.value)
        paths.add(key.value)
        fields, first, last = _parse_value(events)
        on_one_line = start.column == 0 and start.line == last.end_mark.line
        is_canonical = (
            on_one_line and isinstance(first, yaml.MappingStartEvent) and first.flow_style and not root.flow_style
        )
        line = text[start.index : last.end_mark.index] if is_canonical else None
        yield key.value, _Line(_to_decision(place, fields), line)
    if any(isinstance(event, yaml.DocumentStartEvent) for event in events):
        raise yaml.YAMLError("more than one document")


def _parse_value(events: Iterator[Any]) -> tuple[dict[str, str], Any, Any]:
    """The next value as a mapping, with its first and last event; an empty mapping if it is not one of text only."""
    fields: dict[str, str] = {}
    first = event = next(events)
    if not isinstance(first, yaml.MappingStartEvent):
        return fields, first, first
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        value = next(events)
        if not (isinstance(event, yaml.ScalarEvent) and isinstance(value, yaml.ScalarEvent)):
            return {}, first, value
        fields[event.value] = value.value
    return fields, first, event


def _to_decision(place: str, fields: Mapping[str, str]) -> Decision:
    label, answer = fields.get("class"), fields.get("answer")
    if set(fields) not in ({"class", "sha256"}, {"answer", "sha256"}) or answer not in {KEEP, DROP, None}:
        raise UserError(f"{place}: a photograph has a class or an answer, keep or drop, and a sha256.", _FORMAT, fields)
    return Decision(fields["sha256"], answer, label)


def save(decisions: Decisions, path: Path = FILE) -> None:
    """Write all decisions, sorted by path, one line each, below the comment at the beginning of the file."""
    _write(decisions, {}, path)


def _write(decisions: Decisions, lines: Mapping[str, _Line], path: Path) -> None:
    """Like `save`; the text of an unchanged decision is copied from `lines`, which is a hundred times as fast."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else _HEADER
    comment = "".join(takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    entries = []
    for name in sorted(decisions):
        line = lines.get(name)
        if line is None or line.text is None or line.decision != decisions[name]:
            values = {name: decisions[name].to_record()}
            entry = yaml.dump(values, Dumper=_DUMPER, default_flow_style=None, allow_unicode=True, width=1_000_000)
            entries.append(entry)
        else:
            entries.append(f"{line.text}\n")
    write_text(path.resolve(), comment + "".join(entries))


def find_decided_rows(table: pd.DataFrame, decisions: Decisions) -> "pd.Series[bool]":
    """Which rows of a table with path and sha256 have a decision on this very file."""
    hashes = {name: decision.sha256 for name, decision in decisions.items()}
    return table["path"].map(hashes) == table["sha256"]


def apply(table: pd.DataFrame, decisions: Decisions) -> AppliedDecisions:
    """Apply decisions to a table of files.

    Args:
        table: path, label (the folder) and sha256 of all files, including rejected ones.

    Raises:
        UserError: a decision names a class that no folder has, or a class would be left without images.
    """
    rows = {path: row for row, path in enumerate(table["path"])}
    hashes, labels = table["sha256"].tolist(), table["label"].tolist()
    classes, dropped = set(labels), [False] * len(table)
    counts = dict.fromkeys(("kept", "relabelled", "dropped", "file_changed", "file_gone"), 0)
    unapplied = {}
    for path, decision in decisions.items():
        row = rows.get(path)
        if row is None or hashes[row] != decision.sha256:
            is_gone = row is None
            counts["file_gone" if is_gone else "file_changed"] += 1
            unapplied[path] = "there is no such file" if is_gone else "the file is another than was looked at"
        elif decision.answer == DROP:
            counts["dropped"] += 1
            dropped[row] = True
        elif decision.label in {None, labels[row]}:
            counts["kept"] += 1
        elif decision.label in classes:
            counts["relabelled"] += 1
            labels[row] = decision.label
        else:
            rule = f"{FILE} must name classes that the images have; {path} has {decision.label!r}."
            raise UserError(rule, f"Name one of them: {', '.join(sorted(classes))}.")
    corrected = table.assign(label=labels, dropped=dropped)
    if emptied := classes - set(corrected.loc[~corrected["dropped"], "label"]):
        rule = f"Every class must keep an image; {FILE} leaves none of {', '.join(sorted(emptied))}."
        raise UserError(rule, "Take some of its lines out, or leave the class's folder out where the images come from.")
    return AppliedDecisions(corrected, counts, unapplied)
