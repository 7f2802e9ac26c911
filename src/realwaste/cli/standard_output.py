"""What a command answers, on standard output: tables for people, or one JSON object for programs.

No text that it writes, such as a name in a model file, steers a terminal.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from realwaste.core.terminal import SafeConsole, escape, escape_lines


def console() -> Console:
    """Of standard output; a pipe or file has no width, and no line is to be cut or folded there.

    What its encoding lacks is written as Python has it.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    found = SafeConsole(file=sys.stdout, highlight=False)
    return found if found.is_terminal else SafeConsole(file=sys.stdout, highlight=False, width=10_000)


def tables(drawn: Iterable[Table]) -> None:
    """Print them."""
    to = console()
    for table in drawn:
        to.print(table)


def markdown(text: str) -> None:
    """Show it on a terminal; elsewhere it stays Markdown."""
    from rich.markdown import Markdown  # noqa: PLC0415 - which tables need not wait for

    to, safe = console(), escape_lines(text)
    if to.is_terminal:
        to.print(Markdown(safe))
    else:
        typer.echo(safe.encode(), nl=False)


def path(file: Path) -> None:
    """The name of a file on a line: for programs as it is, escaped on a terminal."""
    typer.echo(escape(str(file)) if console().is_terminal else os.fsencode(file))


def record(said: Mapping[str, Any]) -> None:
    """Write it in UTF-8, as JSON is, whatever the terminal's encoding.

    Raises:
        ValueError: for NaN or an infinity.
    """
    _write(f"{_text(said)}\n")


def line(said: Mapping[str, Any]) -> None:
    """The same on one line (JSON Lines)."""
    _write(_text(said, indent=None) + "\n")


@contextmanager
def listing(said: Mapping[str, Any], name: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """One object, as of `record`, whose last value, `name`, is a list that is written item by item.

    A run that breaks off leaves no valid JSON, so that nobody takes it for the whole.
    """
    _write(f"{_text(said)[:-2]},\n  {json.dumps(name)}: [")
    between = ""

    def add(item: Mapping[str, Any]) -> None:
        nonlocal between
        _write(between + "\n    " + _text(item).replace("\n", "\n    "))
        between = ","

    yield add
    _write(("\n  ]" if between else "]") + "\n}\n")


def _text(said: Mapping[str, Any], indent: int | None = 2) -> str:
    text = json.dumps(said, ensure_ascii=False, allow_nan=False, indent=indent)
    if text.replace("\n", "").isprintable():
        return text
    # JSON's own escapes: what programs read stays the same.
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def _write(text: str) -> None:
    typer.echo(text.encode(), nl=False)
