"""Two models on the same photographs, as people read it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from realwaste.cli.compare_models import Pair
from realwaste.cli.evaluate_table import empty
from realwaste.core.file_names import printable
from realwaste.evaluation import differences


def tables(pair: Pair, names: Sequence[str], told: Mapping[str, Any]) -> Iterator[Table]:
    """How right each is, then the difference and what it shows.

    Args:
        names: of the two models.
        told: model_comparison.compared.
    """
    yield _accuracies(pair, names, told)
    yield _difference(names, told)


def verdict(names: Sequence[str], told: Mapping[str, Any]) -> str:
    """In words."""
    winners = {None: None, "first": printable(names[0]), "second": printable(names[1])}
    return differences.describe_verdict(winners[told["better"]])


def left_out(pair: Pair, names: Sequence[str]) -> Iterator[str]:
    """What is not compared, and why, a line each."""
    for name, other, only in zip(names, reversed(names), pair.only, strict=True):
        if only:
            classes = ", ".join(printable(one) for one in only)
            yield f"{printable(name)} alone knows {classes}: its answers may be these, those of {printable(other)} not"
    outside = int((~pair.comparable).sum())
    if outside:
        yield f"{outside} photographs are of classes that not both models know, and are left out"


def _accuracies(pair: Pair, names: Sequence[str], told: Mapping[str, Any]) -> Table:
    drawn = empty("model", "classes", "photographs", "right", "accuracy", "95 % interval")
    for name, facts, own in zip(names, pair.facts, told["models"], strict=True):
        interval = f"{own['accuracy_low']:.3f} to {own['accuracy_high']:.3f}"
        right = round(own["accuracy"] * told["images"])
        figures = (str(len(facts.classes)), str(told["images"]), str(right), f"{own['accuracy']:.3f}", interval)
        drawn.add_row(Text(printable(name)), *figures)
    return drawn


def _difference(names: Sequence[str], told: Mapping[str, Any]) -> Table:
    drawn = empty("difference, first less second", "95 % interval", "only first right", "only second right")
    for heading in ("McNemar's p", "p by groups"):
        drawn.add_column(heading, justify="right", overflow="fold")
    drawn.add_column("verdict", overflow="fold")
    interval = f"{told['difference_low']:+.3f} to {told['difference_high']:+.3f}"
    counts = str(told["only_first_right"]), str(told["only_second_right"])
    p_values = [_p(told[key]) for key in ("mcnemar_p", "permutation_p")]
    drawn.add_row(f"{told['difference']:+.3f}", interval, *counts, *p_values, Text(verdict(names, told), "bold"))
    return drawn


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
