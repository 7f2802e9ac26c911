"""Lays out each model's architecture as a column of boxes, which a template draws (report, fig. 7 and 8)."""

from dataclasses import dataclass

import pandas as pd

MAX_LABEL = 24  # characters; leaves room for the widest shape, 256 × 256 × 32
_TALL_BOX, _LOW_BOX, _GAP = 44, 25, 9


@dataclass(frozen=True)
class Box:
    """A layer or block; `top` and `height` are units of the drawing.

    Attributes:
        label: `name`, shortened to fit beside the output's shape.
        state: "trained", "partly trained" or "frozen"; empty without parameters.
        share: of the model's parameters.
    """

    name: str
    label: str
    output: str
    parameters: str
    multiply_adds: str
    state: str
    share: float
    top: int
    height: int


def layout_boxes(table: pd.DataFrame) -> list[Box]:
    """The boxes of one model, from models.architecture.Architecture.table; those without parameters are lower."""
    total_parameters, top = max(1, int(table["parameters"].sum())), 0
    boxes = []
    for row in table.to_dict("records"):
        height = _TALL_BOX if row["parameters"] else _LOW_BOX
        name = f"{row['block']} × {row['units']}" if row["units"] > 1 else str(row["block"])
        boxes.append(
            Box(
                name,
                name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1]}…",
                str(row["output"]),
                format_count(row["parameters"]),
                format_count(row["multiply_adds"]),
                _training_state(row["parameters"], row["trained_parameters"], row["trained_layers"]),
                row["parameters"] / total_parameters,
                top,
                height,
            )
        )
        top += height + _GAP
    return boxes


def format_count(count: int) -> str:
    """Three significant digits with a unit: 896, 18.5 k, 33.6 M, 13.2 G."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * unit:
            return f"{count / unit:.3g} {name}"
    return str(count)


def _training_state(parameters: int, trained_parameters: int, trained_layers: int) -> str:
    if not parameters:
        return ""
    if not trained_layers:
        return "frozen"
    # Half is enough: the moving statistics of a batch normalization are parameters, but are not trained.
    return "trained" if trained_parameters >= parameters / 2 else "partly trained"
