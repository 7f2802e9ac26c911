"""Markdown tables of measurements in README and docs, between markers that name the measuring command."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from realwaste.core import machine
from realwaste.core.files import write_text

_END = "<!-- end of measured -->"


def into(page: str, command: str, table: str) -> str:
    """`page` with `table` between the markers of `command`."""
    begin = f"<!-- measured: {command} -->"
    before, rest = page.split(begin)
    _, after = rest.split(_END, 1)
    return f"{before}{begin}\n{table}\n{_END}{after}"


def rewrite(path: Path, command: str, table: str) -> None:
    write_text(path, into(path.read_text(encoding="utf-8"), command, table))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def this_machine() -> str:
    """Number of cores and processor."""
    low = " with avx512_bf16" if "avx512_bf16" in machine.cpu_flags() else ""
    gpu = "" if machine.may_have_gpu() else ", no GPU"
    return f"{machine.cores()} cores of {machine.processor()}{low}{gpu}"
