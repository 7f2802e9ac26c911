"""`python -m tools.experiments`: what `dvc exp show` has, in the few columns that fit a screen.

`dvc exp show` has a column for each of some 300 metrics and parameters, and heads most with the path of a file.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# As in stages/__main__.py: each checkout runs its own code.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import dvc.api
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from realwaste.models import registry
from stages.launcher.params import Params

STAND_IN = "*"
Row = Mapping[str, Any]


def main() -> None:
    rows = dvc.api.exp_show()
    screen = Console()
    console = screen if screen.is_terminal else Console(width=160)
    console.print(table(rows))


def table(rows: Sequence[Row]) -> Table:
    """A line a revision and experiment, with the parameters that it has other than the commit it started from."""
    shown = Table(caption=_caution(rows), caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("experiment", "data set"):
        shown.add_column(heading, no_wrap=True)
    evaluated = {
        model for model in registry.MODELS for row in rows if _metric(row, f"{model}.test_accuracy") is not None
    }
    models = [model for model in registry.MODELS if model in evaluated]
    for model in models:
        shown.add_column(f"{model}\naccuracy", justify="right", no_wrap=True)
        shown.add_column("\nmacro F1", justify="right", no_wrap=True)
    shown.add_column("best\nrate", justify="right", no_wrap=True)
    shown.add_column("changed")
    start = next(row for row in rows if row["typ"] == "baseline" and row["rev"] != "workspace")
    for row in rows:
        cells = [_named(row), str(_metric(row, "dataset") or "")]
        for model in models:
            cells += [_number(_metric(row, f"{model}.{key}")) for key in ("test_accuracy", "macro_f1")]
            cells[-2] += STAND_IN if _metric(row, f"{model}.weights") == "random" else ""
        cells += [_plain(row.get("best_learning_rate")), ", ".join(_changed(row, start))]
        shown.add_row(*map(Text, cells))
    return shown


def _caution(rows: Sequence[Row]) -> str | None:
    random = any(_metric(row, f"{model}.weights") == "random" for row in rows for model in registry.MODELS)
    lines = [f"{STAND_IN} a backbone with RANDOM weights"] if random else []
    if any(_metric(row, "origin") == "synthetic" for row in rows):
        lines.append("synthetic: generated pictures, not photographs")
    return "\n".join(lines) or None


def _changed(row: Row, start: Row) -> list[str]:
    keys = [key for key in row if key.partition(".")[0] in Params.model_fields]
    return [f"{key}={_plain(row[key])}" for key in keys if _plain(row[key]) != _plain(start.get(key))]


def _named(row: Row) -> str:
    name = row["Experiment"] or row["rev"]
    state = row["State"]
    return f"{name} ({state.lower()})" if state not in {None, "", "Success"} else name


def _metric(row: Row, key: str) -> Any:
    # DVC names the file where more than one has the key.
    return row.get(f"metrics/compare.json:{key}", row.get(key))


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else ""


def _plain(value: object) -> str:
    """A parameter as params.yaml has it; DVC hands whole numbers over as floats."""
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    main()
