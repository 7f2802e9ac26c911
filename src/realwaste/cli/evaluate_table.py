"""What was measured on labelled photographs, as people read it: a few small tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.core.file_names import printable


def tables(source: str, told: Mapping[str, Any]) -> Iterator[Table]:
    """The whole, each class, what each was taken for, and the classes that the model cannot know.

    Args:
        source: what it was measured on.
        told: external.compute_metrics.
    """
    yield _whole(source, told)
    yield _classes(told["per_class"])
    yield _confusion(told["confusion"])
    if told["unknown"]["images"]:
        yield _unknown(told["unknown"]["folders"])


def _whole(source: str, told: Mapping[str, Any]) -> Table:
    drawn = empty("Classes it knows, of", "images", "accuracy", "95 % interval", "mean confidence", "calibration error")
    interval = f"{told['accuracy_low']:.3f} to {told['accuracy_high']:.3f}"
    confidence, error = f"{told['mean_confidence']:.3f}", f"{told['ece']:.3f}"
    drawn.add_row(Text(printable(source)), str(told["images"]), f"{told['accuracy']:.3f}", interval, confidence, error)
    return drawn


def _classes(per_class: Mapping[str, Mapping[str, Any]]) -> Table:
    drawn = empty("class", "images", "precision", "recall", "95 % interval", "F1")
    for name, own in per_class.items():
        interval = f"{own['recall_low']:.3f} to {own['recall_high']:.3f}"
        shares = [f"{own[key]:.3f}" for key in ("precision", "recall", "f1")]
        drawn.add_row(Text(printable(name)), str(own["support"]), *shares[:2], interval, shares[2])
    return drawn


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> Table:
    drawn = empty("class, and taken for", *next(iter(confusion.values())))
    for name, counts in confusion.items():
        cells = (Text(str(count), "bold" if other == name else "dim") for other, count in counts.items())
        drawn.add_row(Text(printable(name)), *cells)
    return drawn


def _unknown(folders: Mapping[str, Mapping[str, Any]]) -> Table:
    drawn = empty("Classes it cannot know", "images", "mean confidence")
    drawn.add_column("said", overflow="fold")
    for name, own in folders.items():
        said = sorted(((count, other) for other, count in own["said"].items() if count), reverse=True)
        words = ", ".join(f"{printable(other)} {count}" for count, other in said)
        drawn.add_row(Text(printable(name)), str(own["images"]), f"{own['mean_confidence']:.3f}", Text(words))
    return drawn


def empty(first: str, *numbers: str) -> Table:
    """A table without rows yet: a column of words, then those of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(Text(printable(name)), justify="right", overflow="fold")
    return table
