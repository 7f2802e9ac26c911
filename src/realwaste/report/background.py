"""The results of the stage shortcuts for the report page: a sentence, the rows of a chart, and a table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from realwaste.models import registry

_PROBE_VIEWS = {
    "whole": "the whole picture",
    "frame": "the outer frame alone",
    "middle": "the middle alone",
    "grey": "no colour",
    "tiny": "32 × 32 pixels",
}
_SWAPPED_VIEWS = {
    "whole": "as it is",
    "frame_painted": "frame painted over",
    "frame_swapped": "frame of another class",
    "middle_painted": "middle painted over",
    "middle_swapped": "middle of another class",
}


def describe_shortcuts(metrics: Mapping[str, Any]) -> str:
    """The main result in one sentence."""
    frame, whole = metrics["heads"]["frame"], metrics["heads"]["whole"]
    random_note = " with RANDOM weights" if metrics["weights"] == registry.RANDOM else ""
    return (
        f"From the outer frame alone, {_percent(frame['accuracy'])} of the pictures are classified correctly "
        f"({_percent(frame['accuracy_low'])} to {_percent(frame['accuracy_high'])}; chance is "
        f"{_percent(metrics['chance'])}, the whole picture gives {_percent(whole['accuracy'])}), by a linear head on "
        f"{probe_name(metrics)}{random_note} and {metrics['images']:,} pictures of {metrics['image_size']} pixels."
    )


def probe_name(metrics: Mapping[str, Any]) -> str:
    """The name of the model on whose backbone the linear heads are."""
    return registry.display_name(metrics["slot"], metrics["backbone"])


def view_accuracies(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """sees (the view in words), accuracy, low, high: a row for each probe view, for charts.shortcuts."""
    keys = ["accuracy", "accuracy_low", "accuracy_high"]
    rows = [(_PROBE_VIEWS[view], *(scores[key] for key in keys)) for view, scores in metrics["heads"].items()]
    return pd.DataFrame(rows, columns=["sees", "accuracy", "low", "high"])


def swapped_view_table(metrics: Mapping[str, Any], names: Mapping[str, str]) -> pd.DataFrame:
    """A row for each swapped view and a column for each model, as text.

    A cell is the accuracy with its interval, and for swapped parts how often the other picture's class is predicted.
    """
    columns = {
        names[model]: [_format_cell(view, scores_by_view[view]) for view in _SWAPPED_VIEWS]
        for model, scores_by_view in metrics["models"].items()
    }
    return pd.DataFrame(columns, index=list(_SWAPPED_VIEWS.values()))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _format_cell(view: str, scores: Mapping[str, Any]) -> str:
    accuracy = f"{scores['accuracy']:.2f} ({scores['accuracy_low']:.2f} to {scores['accuracy_high']:.2f})"
    other_class = f"; the other\u2019s class {_percent(scores['other_class'])}" if view.endswith("swapped") else ""
    return accuracy + other_class
