"""The results of a command on standard output: tables for people, or JSON for programs.

Control characters, for example of a name in a model file, are escaped, so that no text can steer a terminal.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from realwaste.core.file_names import printable
from realwaste.core.terminal import SafeConsole, escape, escape_lines

_SHOWN_CLASSES = 20  # that the last line of predictions counts


def console() -> Console:
    """A console for standard output, with backslash escapes for characters that its encoding lacks.

    Lines are neither cut nor folded if it is a pipe or a file.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    terminal = SafeConsole(file=sys.stdout, highlight=False)
    return terminal if terminal.is_terminal else SafeConsole(file=sys.stdout, highlight=False, width=10_000)


def empty_table(texts: str | Sequence[str], *numbers: str) -> Table:
    """A table without rows: columns of text, then columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in [texts] if isinstance(texts, str) else texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(Text(printable(name)), justify="right", overflow="fold")
    return table


def print_tables(items: Iterable[Table]) -> None:
    output = console()
    for table in items:
        output.print(table)


def print_markdown(text: str) -> None:
    """Render Markdown on a terminal; print it as it is elsewhere."""
    from rich.markdown import Markdown  # noqa: PLC0415 - which tables do not need

    output, safe = console(), escape_lines(text)
    if output.is_terminal:
        output.print(Markdown(safe))
    else:
        typer.echo(safe.encode(), nl=False)


def print_path(file: Path) -> None:
    """Print a path on a line, as its bytes; escaped on a terminal."""
    typer.echo(escape(str(file)) if console().is_terminal else os.fsencode(file))


def print_json(values: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write a JSON object in UTF-8 whatever the terminal's encoding; ValueError if a value is NaN or infinite."""
    _write(_json(values, indent) + "\n")


@contextmanager
def open_json_list(values: Mapping[str, Any], name: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Write a JSON object whose last value is a list; yields a function that writes an item of the list.

    If the block fails, the output is not valid JSON, so that nobody takes it for complete.
    """
    _write(f"{_json(values)[:-2]},\n  {json.dumps(name)}: [")
    separator = ""

    def add(item: Mapping[str, Any]) -> None:
        nonlocal separator
        _write(separator + "\n    " + _json(item).replace("\n", "\n    "))
        separator = ","

    yield add
    _write(("\n  ]" if separator else "]") + "\n}\n")


def describe_counts(counts: Counter[str], outputs: Iterable[Path | str], *notes: str) -> str:
    """The last line of predictions: photographs per class, most frequent first, notes, and the outputs written."""
    top_classes = counts.most_common(_SHOWN_CLASSES)
    parts = [f"{number:,} {printable(label)}" for label, number in top_classes]
    if others := counts.total() - sum(number for _, number in top_classes):
        parts.append(f"{others:,} of other classes")
    wrote = ", ".join(map(printable, outputs))
    sections = (", ".join(parts) or "none", *notes, *([f"written: {wrote}"] if wrote else []))
    return f"{counts.total():,} photos: {'; '.join(sections)}"


def _json(values: Mapping[str, Any], indent: int | None = 2) -> str:
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=indent)
    if text.replace("\n", "").isprintable():
        return text
    # JSON escapes, so that programs read the same values.
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def _write(text: str) -> None:
    typer.echo(text.encode(), nl=False)
