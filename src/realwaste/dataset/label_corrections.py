"""Labels mended by hand: relabel.yaml, a line a photograph, with the hash of the file that the person looked at.

    Glass/Glass_12.jpg: {class: Metal, sha256: 9f86d0…}
    Paper/Paper_3.jpg: {answer: drop, sha256: 60303a…}
    Paper/Paper_7.jpg: {answer: keep, sha256: fd61a0…}

`keep` says that the folder is right, so that nobody is asked again. Its own keys tell answers from classes, so that a
class may have any name.
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
# Labels corrected by hand, which `validate_images` applies: {class: NAME, …}, {answer: drop, …} or {answer: keep, …}, each
# with the SHA-256 of the file. `realwaste review` writes this file and deletes all other comments (docs/labels.md).
"""
_LIKE = "Write lines as `Glass/Glass_12.jpg: {class: Metal, sha256: …}`, or {answer: drop, …}, or {answer: keep, …}."

_WAIT_S = 10.0
_DEPTH = 8  # of brackets; decisions have one

# Those in C, where they were built, are ten times as fast; every answer on the page reads and writes the file.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Decision:
    """What a person said of one file.

    Attributes:
        answer: KEEP or DROP; None where there is a class.
        label: the class that it is of; None where there is an answer.
    """

    sha256: str
    answer: str | None = None
    label: str | None = None

    def record(self) -> dict[str, str]:
        """As the file has it."""
        said = {"answer": self.answer} if self.label is None else {"class": self.label}
        return {name: str(value) for name, value in said.items()} | {"sha256": self.sha256}


Decisions = Mapping[str, Decision]


@dataclass(frozen=True)
class Applied:
    """A table of files after the decisions.

    Attributes:
        table: with the classes that hold, and a column `dropped`.
        counts: kept, relabelled and dropped files; file_changed and file_gone, for decisions that were not applied.
        unapplied: a path and a reason each.
    """

    table: pd.DataFrame
    counts: dict[str, int]
    unapplied: dict[str, str]


class _Line(NamedTuple):
    """A decision, and how the file has it where that is one line as `save` writes it."""

    decision: Decision
    text: str | None


def load(path: Path = FILE) -> dict[str, Decision]:
    """The decisions by path; none where there is no file, or nothing but comments in it.

    Raises:
        UserError: it cannot be read, or something in it is no decision.
    """
    return {name: line.decision for name, line in _read(path).items()}


@contextmanager
def editing(path: Path = FILE) -> Iterator[dict[str, Decision]]:
    """The decisions, to be changed in place: read, and written when the block succeeds, with no other writer between.

    Raises:
        UserError: as of `load`; or another process holds the file's lock for seconds.
    """
    with exclusive_lock(path.resolve(), _WAIT_S, "Give the answer again; end the other `realwaste review` if it hangs."):
        lines = _read(path)
        decisions = {name: line.decision for name, line in lines.items()}
        yield decisions
        _write(decisions, lines, path)


def _read(path: Path) -> dict[str, _Line]:
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        events = _shallow(yaml.parse(text, Loader=_LOADER))
        try:
            return dict(_lines(path, text, events))
        except UserError:
            deque(events, maxlen=0)  # that the file is no YAML goes before what else is wrong
            raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} must be a YAML file that can be read.", _LIKE, " ".join(str(error).split())) from None


def _shallow(events: Iterable[Any]) -> Iterator[Any]:
    """The same, from events: PyYAML's own nodes end the process where thousands of brackets are nested."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise yaml.YAMLError(f"more than {_DEPTH} brackets are nested in line {event.start_mark.line + 1}")
        yield event


def _lines(path: Path, text: str, events: Iterator[Any]) -> Iterator[tuple[str, _Line]]:
    """Values stay text, so that a class called `1` or `no` is a word."""
    root = next(event for event in events if not isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)))
    if isinstance(root, yaml.StreamEndEvent):
        return
    if not isinstance(root, yaml.MappingStartEvent):
        raise UserError(f"{path} must hold a line for each photograph.", _LIKE)
    known: set[str] = set()
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        start: Any = key.start_mark
        place = f"{path}, line {start.line + 1}"
        if not isinstance(key, yaml.ScalarEvent):
            raise UserError(f"{place}: a line begins with a photograph's path.", _LIKE)
        if key.value in known:
            raise UserError(f"{place}: a photograph stands there once.", "Remove one of its lines.", key.value)
        known.add(key.value)
        said, first, last = _record(events)
        alone = start.column == 0 and start.line == last.end_mark.line
        as_written = alone and isinstance(first, yaml.MappingStartEvent) and first.flow_style and not root.flow_style
        line = text[start.index : last.end_mark.index] if as_written else None
        yield key.value, _Line(_decision(place, said), line)
    if any(isinstance(event, yaml.DocumentStartEvent) for event in events):
        raise yaml.YAMLError("more than one document")


def _record(events: Iterator[Any]) -> tuple[dict[str, str], Any, Any]:
    """The next value, with its first and last event; empty where it is none of words alone."""
    said: dict[str, str] = {}
    first = event = next(events)
    if not isinstance(first, yaml.MappingStartEvent):
        return said, first, first
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        value = next(events)
        if not (isinstance(event, yaml.ScalarEvent) and isinstance(value, yaml.ScalarEvent)):
            return {}, first, value
        said[event.value] = value.value
    return said, first, event


def _decision(place: str, said: Mapping[str, str]) -> Decision:
    label, answer = said.get("class"), said.get("answer")
    if set(said) not in ({"class", "sha256"}, {"answer", "sha256"}) or answer not in {KEEP, DROP, None}:
        raise UserError(f"{place}: a photograph has a class or an answer, keep or drop, and a sha256.", _LIKE, said)
    return Decision(said["sha256"], answer, label)


def save(decisions: Decisions, path: Path = FILE) -> None:
    """Write them whole, sorted by path, a line each, under the comment that the file begins with."""
    _write(decisions, {}, path)


def _write(decisions: Decisions, lines: Mapping[str, _Line], path: Path) -> None:
    """As `save`; of a decision that is as in `lines` its line is taken over, which is a hundred times as fast."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else _HEADER
    comment = "".join(takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    written = []
    for name in sorted(decisions):
        line = lines.get(name)
        if line is None or line.text is None or line.decision != decisions[name]:
            record = {name: decisions[name].record()}
            entry = yaml.dump(record, Dumper=_DUMPER, default_flow_style=None, allow_unicode=True, width=1_000_000)
            written.append(entry)
        else:
            written.append(f"{line.text}\n")
    write_text(path.resolve(), comment + "".join(written))


def holding(table: pd.DataFrame, decisions: Decisions) -> "pd.Series[bool]":
    """Of which rows of a table, with path and sha256, somebody has decided: the file is the one that was looked at."""
    known = {name: decision.sha256 for name, decision in decisions.items()}
    return table["path"].map(known) == table["sha256"]


def apply(table: pd.DataFrame, decisions: Decisions) -> Applied:
    """Put the classes right.

    Args:
        table: path, label (its folder) and sha256 of all files; sha256 and reason are of one that cannot be read.

    Raises:
        UserError: a class that no folder has, or one that no image would be left of.
    """
    rows = {path: row for row, path in enumerate(table["path"])}
    hashes, labels = table["sha256"].tolist(), table["label"].tolist()
    classes, dropped = set(labels), [False] * len(table)
    counts = dict.fromkeys(("kept", "relabelled", "dropped", "file_changed", "file_gone"), 0)
    unapplied = {}
    for path, decision in decisions.items():
        row = rows.get(path)
        if row is None or hashes[row] != decision.sha256:
            gone = row is None
            counts["file_gone" if gone else "file_changed"] += 1
            unapplied[path] = "there is no such file" if gone else "the file is another than was looked at"
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
    mended = table.assign(label=labels, dropped=dropped)
    if emptied := classes - set(mended.loc[~mended["dropped"], "label"]):
        rule = f"Every class must keep an image; {FILE} leaves none of {', '.join(sorted(emptied))}."
        raise UserError(rule, "Take some of its lines out, or leave the class's folder out where the images come from.")
    return Applied(mended, counts, unapplied)
