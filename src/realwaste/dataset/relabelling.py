"""Labels mended by hand: relabel.yaml, a line a photograph, with the hash of the file that the person looked at.

    Glass/Glass_12.jpg: {class: Metal, sha256: 9f86d0…}
    Paper/Paper_3.jpg: {answer: drop, sha256: 60303a…}
    Paper/Paper_7.jpg: {answer: keep, sha256: fd61a0…}

`keep` says that the folder is right, so that nobody is asked again. Its own keys tell answers from classes, so that a
class may have any name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from realwaste.core.errors import UserError
from realwaste.core.files import write_text

FILE = Path("relabel.yaml")
KEEP, DROP = "keep", "drop"
_HEADER = """\
# Labels mended by hand, which `validate_images` applies: {class: NAME, …}, {answer: drop, …} or {answer: keep, …}, each
# with the SHA-256 of the file. `realwaste review` writes it (docs/labels.md). It keeps these lines, no comment below.
"""
_LIKE = "Write lines as `Glass/Glass_12.jpg: {class: Metal, sha256: …}`, or {answer: drop, …}, or {answer: keep, …}."

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


def load(path: Path = FILE) -> dict[str, Decision]:
    """The decisions by path; none where there is no file, or nothing but comments in it.

    Raises:
        UserError: it cannot be read, or something in it is no decision.
    """
    try:
        # Composed alone, so that a class called `1` or `no` stays a word.
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER) if path.exists() else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} must be a YAML file that can be read.", _LIKE, " ".join(str(error).split())) from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path} must hold a line for each photograph.", _LIKE)
    found: dict[str, Decision] = {}
    for key, value in root.value:
        place = f"{path}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{place}: a line begins with a photograph's path.", _LIKE)
        if key.value in found:
            raise UserError(f"{place}: a photograph stands there once.", "Remove one of its lines.", key.value)
        found[key.value] = _decision(place, value)
    return found


def _decision(place: str, node: yaml.Node) -> Decision:
    said: dict[str, Any] = {}  # stays empty where the line is no such thing
    if isinstance(node, yaml.MappingNode):
        said = {str(key.value): value.value for key, value in node.value}
    label, answer = said.get("class"), said.get("answer")
    plain = all(isinstance(value, str) for value in said.values())
    if not plain:
        said = {}
    if set(said) not in ({"class", "sha256"}, {"answer", "sha256"}) or answer not in {KEEP, DROP, None}:
        raise UserError(f"{place}: a photograph has a class or an answer, keep or drop, and a sha256.", _LIKE, said)
    return Decision(said["sha256"], answer, label)


def save(decisions: Decisions, path: Path = FILE) -> None:
    """Write them whole, sorted by path, a line each, under the comment that the file begins with."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else [_HEADER]
    first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    records = {name: decisions[name].record() for name in sorted(decisions)}
    text = yaml.dump(records, Dumper=_DUMPER, default_flow_style=None, allow_unicode=True, width=1_000_000)
    write_text(path, "".join(lines[:first]) + (text if records else ""))


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
