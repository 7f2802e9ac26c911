"""`python -m tools.experiments`: the experiments of this commit in a table that fits a screen.

`dvc exp show` has a column for each of some 300 metrics and parameters. This table has metrics/summary.json and the
changed parameters. No duration: DVC stores none of a run, which takes an unchanged stage's results from its cache.
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

from realwaste.models.registry import RANDOM
from stages.launcher.params import Params

SUMMARY, SCORES = "metrics/summary.json", "metrics/compare.json"
BEST = "\N{BLACK STAR}"
STAND_IN = "*"
SCORE_HEADINGS = ("best model", "validation", "test, 95 % interval", "training, all models")
HEADINGS = ("", "experiment", "created", "data set", *SCORE_HEADINGS)
Row = Mapping[str, Any]


def main() -> None:
    rows = dvc.api.exp_show()
    screen = Console()
    console = screen if screen.is_terminal else Console(width=160)
    console.print(build_table(rows))


def build_table(rows: Sequence[Row]) -> Table:
    """A line for each revision and experiment, with the parameters that differ from the commit it started from.

    A star marks the highest validation accuracy on each data set. The test accuracy is not for choosing.
    """
    start = next(row for row in rows if row["typ"] == "baseline" and row["rev"] != "workspace")
    datasets = {_metric(row, SUMMARY, "dataset") for row in rows} - {None}
    highest: dict[str, float] = {}
    for row in rows:
        dataset, accuracy = (_metric(row, SUMMARY, key) for key in ("dataset", "best_val_accuracy"))
        highest[dataset] = max(highest.get(dataset, 0.0), accuracy or 0.0)
    columns = [heading for heading in HEADINGS if heading != "data set" or len(datasets) > 1]
    table = Table(caption=_caption(rows), caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in columns:
        table.add_column(heading, no_wrap=True)
    table.add_column("changed")
    for row in rows:
        is_best = _metric(row, SUMMARY, "best_val_accuracy") == highest[_metric(row, SUMMARY, "dataset")]
        cells = dict(zip(HEADINGS, _cells(row, BEST if is_best else ""), strict=True))
        table.add_row(*(Text(cells[heading]) for heading in columns), Text(", ".join(_changes(row, start))))
    return table


def _cells(row: Row, mark: str) -> list[str]:
    name, state = row["Experiment"] or row["rev"], row["State"]
    name = f"{name} ({state.lower()})" if state not in {None, "", "Success"} else name
    dataset, best, validation, test, low, high, seconds = (
        _metric(row, SUMMARY, key)
        for key in (
            "dataset",
            "best_model",
            "best_val_accuracy",
            "best_test_accuracy",
            "best_test_accuracy_low",
            "best_test_accuracy_high",
            "training_seconds",
        )
    )
    cells = [mark, name, row["Created"] or "", dataset or ""]
    if best is None:
        return [*cells, *("" for _ in SCORE_HEADINGS)]
    stand_in = STAND_IN if _metric(row, SCORES, f"{best}.weights") == RANDOM else ""
    return [*cells, best + stand_in, f"{validation:.3f}", f"{test:.3f} ({low:.3f} to {high:.3f})", f"{seconds:.0f} s"]


def _caption(rows: Sequence[Row]) -> str | None:
    lines = [f"{BEST} highest validation accuracy on the same photographs"] if len(rows) > 1 else []
    if any(_metric(row, SCORES, f"{_metric(row, SUMMARY, 'best_model')}.weights") == RANDOM for row in rows):
        lines.append(f"{STAND_IN} a backbone with RANDOM weights")
    if any(_metric(row, SCORES, "origin") == "synthetic" for row in rows):
        lines.append("synthetic: generated pictures, not photographs")
    return "\n".join(lines) or None


def _changes(row: Row, start: Row) -> list[str]:
    keys = [key for key in row if key.partition(".")[0] in Params.model_fields]
    return [f"{key}={_format(row[key])}" for key in keys if _format(row[key]) != _format(start.get(key))]


def _metric(row: Row, path: str, key: str) -> Any:
    # DVC puts the file before a key that several files have.
    return row.get(f"{path}:{key}", row.get(key))


def _format(value: object) -> str:
    """A parameter as in params.yaml; DVC returns whole numbers as floats."""
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    main()
