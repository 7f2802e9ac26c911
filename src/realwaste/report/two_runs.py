"""Two runs of the pipeline side by side, on one page: their scores, curves, confusions and parameters."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from realwaste.core import machine
from realwaste.evaluation import differences, intervals
from realwaste.report import comparison, pages
from realwaste.report.run_results import PairedComparison, Row, Run, changed_parameters, compare_paired

_FIGURES = {
    "backbone": ("backbone", "{}"),
    "weights": ("weights", "{}"),
    "test accuracy": ("test_accuracy", "{:.3f}"),
    "macro F1": ("macro_f1", "{:.3f}"),
    "test loss": ("test_loss", "{:.3f}"),
    "calibration error": ("ece_calibrated", "{:.3f}"),
    "train accuracy": ("train_accuracy", "{:.3f}"),
    "training, with vectors": ("training_seconds", "{:.0f} s"),
    "one image": ("latency_ms", "{:.1f} ms"),
    "file size": ("file_mb", "{:.1f} MB"),
}

MARK = b'<meta name="generator" content="realwaste report --against">'
"""In the page's head, by which it is known from other pages."""


def render_page(first: Run, second: Run) -> str:
    """One HTML page with nothing to load; the change that it tells of is `first` less `second`."""
    found = compare_paired(first, second)
    names = display_names(first, second)
    return pages.render_template(
        "two_runs.html",
        _charts(first, second, names),
        filters={},
        runs=(first, second),
        names=names,
        warnings=_warnings(first, second),
        about=_about(first, second),
        found=found,
        correction=comparison.describe_correction(found.models),
        verdicts=_verdicts(first, second, names, found),
        figures=_figures(first, second, names),
        changed=changed_parameters(first, second),
    )


def display_names(first: Run, second: Run) -> dict[str, str]:
    """Of each model of either run: its name as people know it, or the pipeline's where that differs between them."""
    named = [comparison.single_line_names(comparison.display_names(run.rows)) for run in (first, second)]
    models = dict.fromkeys([*first.rows, *second.rows])
    known = {model: [names[model] for names in named if model in names] for model in models}
    shown = {model: names[0] if len(set(names)) == 1 else model for model, names in known.items()}
    return shown if len(set(shown.values())) == len(shown) else {model: model for model in models}


def _warnings(first: Run, second: Run) -> list[str]:
    said = []
    origins = {run.name: run.compared.get("origin") for run in (first, second)}
    if drawn := [name for name, origin in origins.items() if origin == "synthetic"]:
        said.append(f"The pictures of {' and '.join(drawn)} are generated: these numbers say nothing about waste.")
    for run in (first, second):
        if random := [model for model, row in run.rows.items() if row.get("weights") == "random"]:
            said.append(f"RANDOM backbone weights in {run.name}: {', '.join(random)}.")
    data = [run.compared.get("dataset") for run in (first, second)]
    if data[0] != data[1]:
        said.append(f"The runs are of different data, {data[0]} and {data[1]}: their scores cannot be compared.")
    return said


def _about(first: Run, second: Run) -> dict[str, tuple[str, str]]:
    def images(run: Run) -> str:
        return " / ".join(str(run.split.get(part, "–")) for part in ("train", "val", "test"))

    told = {
        "data set": [str(run.compared.get("dataset", "–")) for run in (first, second)],
        "split": [str(run.split.get("strategy", "–")) for run in (first, second)],
        "images: train / validation / test": [images(run) for run in (first, second)],
        "computed on": [
            machine.describe(run.compared["machine"]) if "machine" in run.compared else "–" for run in (first, second)
        ],
    }
    return {what: (ours, theirs) for what, (ours, theirs) in told.items()}


def _verdicts(first: Run, second: Run, names: Mapping[str, str], found: PairedComparison) -> list[dict[str, Any]]:
    """A record for each model of both runs: tested in pairs where it could be, else the difference alone."""
    told = []
    for model in names:
        if not (model in first.rows and model in second.rows):
            continue
        facts = found.models.get(model)
        if facts:
            verdict = differences.describe_verdict(differences.find_better(facts, first.name, second.name))
        else:
            verdict, facts = "not tested in pairs", _apart(first.rows[model], second.rows[model])
        told.append({"model": model, "verdict": verdict, **facts})
    return told


def _apart(first: Row, second: Row) -> dict[str, float]:
    """The difference of two accuracies as if of different images."""
    ours, theirs = (
        {f"accuracy{end}": row[f"test_accuracy{end}"] for end in ("", "_low", "_high")} | {"images": 1}
        for row in (first, second)
    )
    return intervals.accuracy_change(theirs, ours)


def _figures(first: Run, second: Run, names: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """For each model the figures that one of the runs has."""
    told: dict[str, list[dict[str, str]]] = {}
    for model in names:
        rows = [run.rows.get(model, {}) for run in (first, second)]
        told[model] = [
            {"figure": figure}
            | {
                place: form.format(row[key]) if row.get(key) is not None else "–"
                for place, row in zip(("first", "second"), rows, strict=True)
            }
            for figure, (key, form) in _FIGURES.items()
            if any(row.get(key) is not None for row in rows)
        ]
    return told


def _charts(first: Run, second: Run, names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """A Vega-Lite specification for each place in the template; what is side by side has one scale."""
    # Their library takes 0.4 s, which a check of the command's arguments need not wait for.
    from realwaste.report import charts, learning_curves  # noqa: PLC0415

    runs = (first, second)
    drawn = {"accuracies": charts.grouped_accuracies(_accuracies(runs, names))}
    for model in names:
        for measure in ("loss", "accuracy"):
            domain = _domain(runs, model, measure)
            for number, run in enumerate(runs):
                if model in run.histories:
                    drawn[f"{measure}_{model}_{number}"] = charts.curve(run.histories[model], measure, domain)
    for number, run in enumerate(runs):
        for model, counts in run.confusions.groupby("model", sort=False):
            drawn[f"confusion_{model}_{number}"] = charts.confusion(comparison.hardest_classes(counts))
        if len(run.learning_curve):
            drawn[f"learning_curve_{number}"] = learning_curves.chart(run.learning_curve, names)
    return drawn


def _accuracies(runs: tuple[Run, Run], names: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": names[model],
                "place": run.name,
                "images": run.split.get("test"),
                "accuracy": run.rows[model]["test_accuracy"],
                "low": run.rows[model]["test_accuracy_low"],
                "high": run.rows[model]["test_accuracy_high"],
            }
            for model in names
            for run in runs
            if model in run.rows
        ]
    )


def _domain(runs: tuple[Run, Run], model: str, measure: str) -> list[float] | None:
    """From the least to the greatest value of either run; None without any."""
    values = np.concatenate([np.empty(0), *_values(runs, model, measure)])
    values = values[np.isfinite(values)]
    return [float(values.min()), float(values.max())] if len(values) else None


def _values(runs: tuple[Run, Run], model: str, measure: str) -> Iterator[np.ndarray]:
    for run in runs:
        if model in run.histories:
            yield run.histories[model][[measure, f"val_{measure}"]].to_numpy(np.float64).ravel()
