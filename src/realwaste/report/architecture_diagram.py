"""Each model's architecture as boxes, one under the other, for the template that draws them (report, fig. 7 and 8)."""

from dataclasses import dataclass

import pandas as pd

LONGEST_NAME = 24  # letters that leave room for the widest shape, 256 × 256 × 32
_TALL, _LOW, _GAP = 44, 25, 9


@dataclass(frozen=True)
class Box:
    """A layer or block, at `top` of the drawing.

    Attributes:
        name: whole; short: as it fits beside the output's shape.
        state: learned, frozen, or in part; empty without parameters.
        share: of the model's parameters.
    """

    name: str
    short: str
    output: str
    parameters: str
    multiply_adds: str
    state: str
    share: float
    top: int
    height: int


def layout_boxes(table: pd.DataFrame) -> list[Box]:
    """Of the rows of one model, as of realwaste.evaluation.architecture; what has no parameters is a lower box."""
    whole, top = max(1, int(table["parameters"].sum())), 0
    drawn = []
    for row in table.to_dict("records"):
        height = _TALL if row["parameters"] else _LOW
        name = f"{row['block']} × {row['units']}" if row["units"] > 1 else str(row["block"])
        drawn.append(
            Box(
                name,
                name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…",
                str(row["output"]),
                format_count(row["parameters"]),
                format_count(row["multiply_adds"]),
                _state(row["parameters"], row["trained_parameters"], row["trained_layers"]),
                row["parameters"] / whole,
                top,
                height,
            )
        )
        top += height + _GAP
    return drawn


def format_count(count: int) -> str:
    """896, 18.5 k, 33.6 M, 13.2 G."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * unit:
            return f"{count / unit:.3g} {name}"
    return str(count)


def _state(parameters: int, trained: int, trained_layers: int) -> str:
    if not parameters:
        return ""
    # Moving statistics of a batch normalisation that learns are no weights to train.
    if trained_layers:
        return "learned" if trained >= parameters / 2 else "in part"
    return "frozen"
