"""What the page says of shortcuts: a sentence, a chart's rows, a table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from realwaste.models.registry import OFF

_SEES = {
    "whole": "the whole picture",
    "frame": "the outer frame alone",
    "middle": "the middle alone",
    "grey": "no colour",
    "tiny": "32 × 32 pixels",
}
_CHANGES = {
    "whole": "as it is",
    "frame_painted": "frame painted over",
    "frame_swapped": "frame of another class",
    "middle_painted": "middle painted over",
    "middle_swapped": "middle of another class",
}


def is_off(facts: Mapping[str, Any]) -> bool:
    """Whether the stage was switched off."""
    return facts["backbone"] == OFF


def describe_shortcuts(facts: Mapping[str, Any]) -> str:
    """What it means, for the first screen."""
    frame, whole, percent = facts["heads"]["frame"], facts["heads"]["whole"], _percent
    named = " with RANDOM weights" if facts["weights"] == "random" else ""
    return (
        f"{percent(frame['accuracy'])} of the pictures' classes can be told from the outer frame alone "
        f"({percent(frame['accuracy_low'])} to {percent(frame['accuracy_high'])}; chance is "
        f"{percent(facts['chance'])}, the whole picture gives {percent(whole['accuracy'])}): by a linear head on "
        f"{facts['backbone']}{named}, of {facts['images']:,} pictures of {facts['image_size']} pixels a side."
    )


def view_accuracies(facts: Mapping[str, Any]) -> pd.DataFrame:
    """sees, accuracy, low, high: a row a view, for charts.shortcuts."""
    found = ((_SEES[view], own) for view, own in facts["heads"].items())
    return pd.DataFrame(
        [
            {"sees": sees, "accuracy": own["accuracy"], "low": own["accuracy_low"], "high": own["accuracy_high"]}
            for sees, own in found
        ]
    )


def swapped_view_table(facts: Mapping[str, Any], names: Mapping[str, str]) -> pd.DataFrame:
    """A row a change, a column a model, all text: accuracy with interval, and how often the other class was said."""
    columns = {}
    for model, found in facts["models"].items():
        own = {change: found[change] for change in _CHANGES}
        columns[names[model]] = [_cell(change, one) for change, one in own.items()]
    return pd.DataFrame(columns, index=list(_CHANGES.values()))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _cell(change: str, found: Mapping[str, Any]) -> str:
    told = f"{found['accuracy']:.2f} ({found['accuracy_low']:.2f} to {found['accuracy_high']:.2f})"
    return f"{told}; the other\u2019s class {_percent(found['other_class'])}" if change.endswith("swapped") else told
