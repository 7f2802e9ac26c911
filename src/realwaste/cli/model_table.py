"""The saved models, as people read them: a row a model."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.cli.model_list import Entry
from realwaste.core.file_names import printable

_NONE = "–"


def table(entries: Sequence[Entry]) -> Table:
    """Name, backbone, weights, data, accuracies, size and speed; a reason where a file is no model, or of no use."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("model", "backbone", "weights", "data"):
        drawn.add_column(heading, overflow="fold")
    for heading in ("validation", "test", "95 % interval", "MB", "ms an image"):
        drawn.add_column(heading, justify="right", overflow="fold")
    remarks = {one.path: one.error or (one.facts.caution() if one.facts else None) for one in entries}
    if any(remarks.values()):
        drawn.add_column("but", overflow="fold")
    for one in entries:
        facts = (one.facts.backbone, one.facts.weights, one.facts.dataset) if one.facts else (_NONE,) * 3
        cells = [Text(printable(one.path.stem), "bold" if one.chosen else "")]
        cells += [Text(printable(fact)) for fact in facts]
        cells += [Text(value) for value in _figures(one)]
        if remark := remarks[one.path]:
            cells.append(Text(printable(remark), "red" if one.error else "yellow"))
        drawn.add_row(*cells)
    return drawn


def _figures(one: Entry) -> list[str]:
    scores = one.scores or {}
    interval = _NONE
    if {"test_accuracy_low", "test_accuracy_high"} <= scores.keys():
        interval = f"{scores['test_accuracy_low']:.3f} to {scores['test_accuracy_high']:.3f}"
    accuracies = [f"{scores[key]:.3f}" if key in scores else _NONE for key in ("val_accuracy", "test_accuracy")]
    speed = f"{scores['latency_ms']:.0f}" if "latency_ms" in scores else _NONE
    return [*accuracies, interval, f"{one.size / 1e6:.1f}", speed]
