"""The page of `realwaste report --against`: scores, curves, confusions and parameters of two runs side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from realwaste.core import machine
from realwaste.dataset.labels import PARTS
from realwaste.evaluation import differences, intervals
from realwaste.models import registry
from realwaste.report import comparison, pages
from realwaste.report.run_results import PairedComparison, Row, Run, changed_parameters, compare_paired

_METRICS = {
    "backbone": ("backbone", "{}"),
    "weights": ("weights", "{}"),
    "test accuracy": ("test_accuracy", "{:.3f}"),
    "macro F1": ("macro_f1", "{:.3f}"),
    "test loss": ("test_loss", "{:.3f}"),
    "calibration error": ("ece_calibrated", "{:.3f}"),
    "train accuracy": ("train_accuracy", "{:.3f}"),
    "training, with embedding": ("training_seconds", "{:.0f} s"),
    "one image": ("latency_ms", "{:.1f} ms"),
    "file size": ("file_mb", "{:.1f} MB"),
}

MARK = b'<meta name="generator" content="realwaste report --against">'
"""An element of the page's head that identifies such pages."""


def render_page(first: Run, second: Run) -> str:
    """One self-contained HTML page; differences are `first` minus `second`."""
    paired = compare_paired(first, second)
    names = display_names(first, second)
    return pages.render_template(
        "two_runs.html",
        _charts(first, second, names),
        filters={},
        runs=(first, second),
        names=names,
        warnings=_warnings(first, second),
        summaries=_run_summaries(first, second),
        paired=paired,
        correction=comparison.describe_correction(paired.models),
        verdicts=_verdicts(first, second, names, paired),
        figures=_metric_rows(first, second, names),
        changed=changed_parameters(first, second),
    )


def display_names(first: Run, second: Run) -> dict[str, str]:
    """The display name of each model of either run, or the pipeline's name if the display names differ."""
    names_by_run = [comparison.display_names(run.rows) for run in (first, second)]
    models = dict.fromkeys([*first.rows, *second.rows])
    names_by_model = {model: {names[model] for names in names_by_run if model in names} for model in models}
    return {model: names.pop() if len(names) == 1 else model for model, names in names_by_model.items()}


def _warnings(first: Run, second: Run) -> list[str]:
    lines = []
    origins = {run.name: run.compared.get("origin") for run in (first, second)}
    if synthetic_runs := [name for name, origin in origins.items() if origin == "synthetic"]:
        lines.append(
            f"The pictures of {' and '.join(synthetic_runs)} are generated: these numbers say nothing about waste."
        )
    for run in (first, second):
        names = comparison.short_names(run.rows)
        if random := [names[model] for model, row in run.rows.items() if row.get("weights") == registry.RANDOM]:
            lines.append(f"RANDOM backbone weights in {run.name}: {', '.join(random)}.")
    datasets = [run.compared.get("dataset") for run in (first, second)]
    if datasets[0] != datasets[1]:
        lines.append(
            f"The runs are of different data, {datasets[0]} and {datasets[1]}: their scores cannot be compared."
        )
    return lines


def _run_summaries(first: Run, second: Run) -> dict[str, list[str]]:
    summaries = [
        {
            "data set": str(run.compared.get("dataset", "–")),
            "split": str(run.split.get("strategy", "–")),
            "images: train / validation / test": " / ".join(str(run.split.get(part, "–")) for part in PARTS),
            "computed on": machine.describe(run.compared["machine"]) if "machine" in run.compared else "–",
        }
        for run in (first, second)
    ]
    return {title: [summary[title] for summary in summaries] for title in summaries[0]}


def _verdicts(first: Run, second: Run, names: Mapping[str, str], paired: PairedComparison) -> list[dict[str, Any]]:
    """A record for each model of both runs: a paired test if possible, else the difference; none for other data."""
    records: list[dict[str, Any]] = []
    if first.compared.get("dataset") != second.compared.get("dataset"):
        return records
    for model in names:
        if not (model in first.rows and model in second.rows):
            continue
        test = paired.models.get(model)
        if model in paired.same:
            verdict, test = "same model", {}
        elif test:
            verdict = differences.describe_verdict(test, first.name, second.name)
        else:
            verdict, test = "not tested in pairs", _unpaired_difference(first.rows[model], second.rows[model])
        records.append({"model": model, "verdict": verdict, **test})
    return records


def _unpaired_difference(first: Row, second: Row) -> dict[str, float]:
    """The difference of two accuracies, treated as measured on different images."""
    first_metrics, second_metrics = (
        {f"accuracy{end}": row[f"test_accuracy{end}"] for end in ("", "_low", "_high")} | {"images": 1}
        for row in (first, second)
    )
    return intervals.accuracy_change(second_metrics, first_metrics)


def _metric_rows(first: Run, second: Run, names: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """For each model, the metrics that at least one of the runs has."""
    rows_by_model: dict[str, list[dict[str, str]]] = {model: [] for model in names}
    for model, metric_rows in rows_by_model.items():
        for title, (key, template) in _METRICS.items():
            values = [run.rows.get(model, {}).get(key) for run in (first, second)]
            if values != [None, None]:
                cells = ["–" if value is None else template.format(value) for value in values]
                metric_rows.append({"figure": title, "first": cells[0], "second": cells[1]})
    return rows_by_model


def _charts(first: Run, second: Run, names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The Vega-Lite specification of each chart in the template; charts side by side have a common scale."""
    from realwaste.report import charts  # noqa: PLC0415 - Altair takes 0.4 s to import

    runs = (first, second)
    specs = {"accuracies": charts.grouped_accuracies(_accuracy_rows(runs, names))}
    for model in names:
        for measure in ("loss", "accuracy"):
            domain = _common_scale(runs, model, measure)
            for number, run in enumerate(runs):
                if model in run.histories:
                    specs[f"{measure}_{model}_{number}"] = charts.curve(run.histories[model], measure, domain)
    for number, run in enumerate(runs):
        for model, counts in run.confusions.groupby("model", sort=False):
            specs[f"confusion_{model}_{number}"] = charts.confusion(comparison.hardest_classes(counts))
        if len(run.learning_curve):
            specs[f"learning_curve_{number}"] = charts.learning_curve(run.learning_curve, names)
    return specs


def _accuracy_rows(runs: tuple[Run, Run], names: Mapping[str, str]) -> pd.DataFrame:
    keys = ["test_accuracy", "test_accuracy_low", "test_accuracy_high"]
    rows = [
        (names[model], run.name, run.split.get("test"), *(run.rows[model][key] for key in keys))
        for model in names
        for run in runs
        if model in run.rows
    ]
    return pd.DataFrame(rows, columns=["model", "series", "images", "accuracy", "low", "high"])


def _common_scale(runs: tuple[Run, Run], model: str, measure: str) -> list[float] | None:
    """The smallest and the largest value in both runs; None without values."""
    histories = [run.histories[model][[measure, f"val_{measure}"]] for run in runs if model in run.histories]
    values = np.concatenate([np.empty(0), *(history.to_numpy(np.float64).ravel() for history in histories)])
    values = values[np.isfinite(values)]
    return [float(values.min()), float(values.max())] if len(values) else None
