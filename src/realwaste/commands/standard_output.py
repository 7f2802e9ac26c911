"""What a command answers, on standard output: tables for people, or one JSON object for programs."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.table import Table


def tables(drawn: Iterable[Table]) -> None:
    """Print them; a pipe or file has no width, and no line is to be cut or folded there."""
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, width=10_000)
    for table in drawn:
        console.print(table)


def record(said: Mapping[str, Any]) -> None:
    """Write it in UTF-8, as JSON is, whatever the terminal's encoding.

    Raises:
        ValueError: for NaN or an infinity.
    """
    typer.echo(json.dumps(said, ensure_ascii=False, allow_nan=False, indent=2).encode())
