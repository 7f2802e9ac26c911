"""Labels corrected by hand: relabel.yaml, one line per photograph, with the hash of the file that was reviewed.

    Glass/Glass_12.jpg: {class: Metal, sha256: 9f86d0…}
    Paper/Paper_3.jpg: {answer: drop, sha256: 60303a…}
    Paper/Paper_7.jpg: {answer: keep, sha256: fd61a0…}

`keep` confirms the folder's label, so that the photograph is not reviewed again. Answers and classes have different
keys, so that a class may have any name.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

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
    """A reviewer's decision on the file with this hash: an answer, KEEP or DROP, or the correct class."""

    sha256: str
    answer: str | None = None
    label: str | None = None

    def to_record(self) -> dict[str, str]:
        """The decision as relabel.yaml has it."""
        decided = {"answer": str(self.answer)} if self.label is None else {"class": self.label}
        return decided | {"sha256": self.sha256}


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


def load(path: Path = FILE) -> dict[str, Decision]:
    """The decisions by path; empty if the file does not exist or has only comments.

    Values stay text, so that a class may be called `1` or `no`.

    Raises:
        UserError: the file cannot be read, or an entry is not a decision.
    """
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        _limit_depth(text)
        root = yaml.compose(text, Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} must be a YAML file that can be read.", _FORMAT, reason) from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path} must hold a line for each photograph.", _FORMAT)
    decisions: dict[str, Decision] = {}
    for key, value in root.value if root else ():
        place = f"{path}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{place}: a line begins with a photograph's path.", _FORMAT)
        if key.value in decisions:
            raise UserError(f"{place}: a photograph may have one line only.", "Remove one of its lines.", key.value)
        decisions[key.value] = _to_decision(place, value)
    return decisions


def _limit_depth(text: str) -> None:
    """Raise YAMLError for deep nesting: PyYAML's loader crashes on thousands of nested brackets."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"more than {_MAX_DEPTH} brackets are nested")


def _to_decision(place: str, value: yaml.Node) -> Decision:
    pairs = value.value if isinstance(value, yaml.MappingNode) else ()
    fields = {name.value: item.value for name, item in pairs if isinstance(item, yaml.ScalarNode)}
    label, answer = fields.get("class"), fields.get("answer")
    if set(fields) not in ({"class", "sha256"}, {"answer", "sha256"}) or answer not in {KEEP, DROP, None}:
        raise UserError(f"{place}: a photograph has a class or an answer, keep or drop, and a sha256.", _FORMAT, fields)
    return Decision(fields["sha256"], answer, label)


@contextmanager
def open_for_editing(path: Path = FILE) -> Iterator[dict[str, Decision]]:
    """Yield the decisions to change in place, and write them if the block succeeds, under a lock.

    Raises:
        UserError: see `load`; or another process holds the lock for seconds.
    """
    remedy = "Give the answer again; end the other `realwaste review` if it hangs."
    with exclusive_lock(path.resolve(), _WAIT_S, remedy):
        decisions = load(path)
        yield decisions
        save(decisions, path)


def save(decisions: Decisions, path: Path = FILE) -> None:
    """Write all decisions, sorted by path, one line each, below the comment at the beginning of the file."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else _HEADER
    comment = "".join(takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    records = {name: decisions[name].to_record() for name in sorted(decisions)}
    options: dict[str, Any] = {"allow_unicode": True, "width": 1_000_000, "sort_keys": False}
    lines = yaml.dump(records, Dumper=_DUMPER, default_flow_style=None, **options) if records else ""
    write_text(path.resolve(), comment + lines)


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
            unapplied[path] = "there is no such file" if is_gone else "the file has changed since it was reviewed"
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
        raise UserError(rule, "Remove some of its lines, or remove the class's folder from the source.")
    return AppliedDecisions(corrected, counts, unapplied)
