"""The report page of a run as a single file: plots/report.html."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core import machine
from realwaste.evaluation import differences, prediction_table
from realwaste.models import registry
from realwaste.report import architecture_diagram, background, comparison, factors, pages, verdict
from realwaste.report.report_data import ReportData

REJECTED_SHOWN = 50
MISTAKES_LISTED = 1000  # per model


def render_page(data: ReportData) -> str:
    """One self-contained HTML page with charts, pictures and scripts."""
    names = comparison.display_names(data.rows)
    short_names = comparison.short_names(data.rows)
    architectures = data.architectures.groupby("model", sort=False)
    external_sets = _external_sections(data.external, names)
    return pages.render_template(
        "report.html",
        _charts(data, names, external_sets),
        filters={"picture": lambda name: _data_uri(data.pictures / name)},
        data=data,
        verdict=verdict.build_verdict(data),
        ranking=verdict.rank_models(data.rows),
        stand_ins=[short_names[model] for model, row in data.rows.items() if row["weights"] == registry.RANDOM],
        names=names,
        short_names=short_names,
        classes_shown=comparison.class_limit_note(len(data.validated["classes"])),
        made_on=machine.describe(machine.merge_records(data.machines)),
        pairs=_describe_pairs(data),
        test_groups=next(iter(data.rows.values()))["test_groups"],
        correction=comparison.describe_correction(data.pairs),
        warnings=describe_warnings(data),
        factors=factors.build_factors(data.rows, data.external),
        has_claims=factors.has_claims(data.fetched["origin"]),
        architectures={model: architecture_diagram.layout_boxes(table) for model, table in architectures},
        multiply_adds={
            model: architecture_diagram.format_count(int(table["multiply_adds"].sum()))
            for model, table in architectures
        },
        rejected=data.rejected.head(REJECTED_SHOWN).to_dict("records"),
        examples=_group_by_class(data.explanations["examples"]),
        external_sets=external_sets,
        mistakes=_mistakes(data),
        shortcut=background.describe_shortcuts(data.shortcuts),
        probe=background.probe_name(data.shortcuts),
        swapped_views=background.swapped_view_table(data.shortcuts, names),
        members=_join_names(comparison.ensemble_members(data.trainings), short_names),
        label_backbones=_join_names(data.suspects["backbones"].split(", "), short_names),
    )


def describe_warnings(data: ReportData) -> list[str]:
    """Warnings for the top of the page and the end of a run, one line each."""
    lines = []
    if data.fetched["origin"] == "synthetic":
        lines.append("The pictures are generated, not photographs: these numbers say nothing about waste.")
    if stand_ins := comparison.describe_stand_ins(data.embeddings):
        lines.append(stand_ins)
    names = comparison.short_names(data.rows)
    if diverged := [names[model] for model, facts in data.trainings.items() if facts["diverged"]]:
        lines.append(f"The training of {', '.join(diverged)} diverged: its predictions are useless.")
    return lines


def _mistakes(data: ReportData) -> dict[str, dict[str, Any]]:
    """For each model that the stage explain explained, the best first: its pictures and its mistakes."""
    sections = {}
    for model in verdict.rank_models(data.rows):
        if model in data.explanations["mistakes"]:
            tested = data.tested[data.tested["model"] == model]
            ranking = prediction_table.most_confident_mistakes(tested, len(tested))
            sections[model] = {
                "pictures": data.explanations["mistakes"][model],
                "count": len(ranking),
                "listed": ranking.head(MISTAKES_LISTED).to_dict("records"),
            }
    return sections


def _describe_pairs(data: ReportData) -> list[dict[str, Any]]:
    """The records of comparison.compare_pairs with display names in the verdicts."""
    names, records = comparison.short_names(data.rows), []
    for pair, facts in data.pairs.items():
        models = [names[model] for model in pair.split("_vs_")]
        records.append(
            {**facts, "models": " and ".join(models), "verdict": differences.describe_verdict(facts, *models)}
        )
    return records


def _charts(
    data: ReportData, names: Mapping[str, str], external_sets: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The Vega-Lite specification of each chart in the template."""
    from realwaste.report import charts  # noqa: PLC0415 - Altair takes 0.4 s to import

    specs = {
        "classes": charts.image_counts(data.validated["classes"]),
        "split": charts.split_counts(data.split_counts),
        "accuracies": charts.accuracies(comparison.model_scores(data.rows, names)),
        "class_scores": charts.class_scores(
            comparison.class_score_table(data.evaluated).assign(name=lambda table: table["model"].map(names))
        ),
        "rates_val_loss": charts.learning_rates(data.sweep_table, "val_loss", "validation loss"),
        "rates_loss": charts.learning_rates(data.sweep_table, "loss", "train loss"),
        "shortcuts": charts.shortcuts(background.view_accuracies(data.shortcuts), data.shortcuts["chance"]),
    }
    if len(data.learning_curve):
        specs["learning_curve"] = charts.learning_curve(data.learning_curve, names)
    for model, history in data.histories.items():
        specs |= {f"{measure}_{model}": charts.curve(history, measure) for measure in ("loss", "accuracy")}
    for section in external_sets:
        specs[section["chart"]] = charts.grouped_accuracies(_external_accuracies(section["models"], names))
    for model, counts in data.confusions.groupby("model", sort=False):
        specs[f"confusion_{model}"] = charts.confusion(comparison.hardest_classes(counts))
    for model, table in data.reliability.groupby("model", sort=False):
        specs[f"reliability_{model}"] = charts.reliability(table)
    return specs


def _external_sections(external_sets: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A record for each external set, for the template."""
    return [
        external_set
        | {
            "name": name,
            "chart": f"external_{number}",
            "less_accurate": [
                names[model]
                for model, results in external_set["models"].items()
                if results["change"] and results["change"]["difference_high"] < 0
            ],
            "unknown_folders": _unknown_folder_rows(external_set["models"], names),
        }
        for number, (name, external_set) in enumerate(external_sets.items())
    ]


def _external_accuracies(models: Mapping[str, Any], names: Mapping[str, str]) -> pd.DataFrame:
    """model (display name), series (test set), images, accuracy, low, high, for charts.grouped_accuracies."""
    keys = ["images", "accuracy", "accuracy_low", "accuracy_high"]
    rows = [
        (names[model], test_set, *(results[part][key] for key in keys))
        for model, results in models.items()
        for part, test_set in {"home": "in-domain", "outside": "external"}.items()
        if results[part]["images"]
    ]
    return pd.DataFrame(rows, columns=["model", "series", "images", "accuracy", "low", "high"])


def _unknown_folder_rows(models: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each folder without a matching class and each model; the most frequent predictions come first."""
    rows = []
    for folder in next(iter(models.values()))["outside"]["unknown"]["folders"]:
        for model, results in models.items():
            predictions = results["outside"]["unknown"]["folders"][folder]
            said = sorted(((count, label) for label, count in predictions["said"].items() if count), reverse=True)
            rows.append(predictions | {"folder": folder, "model": names[model], "said": said})
    return rows


def _group_by_class(examples: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    labels = dict.fromkeys(example["label"] for example in examples)
    return {label: [example for example in examples if example["label"] == label] for label in labels}


def _data_uri(path: Path) -> str:
    return f"data:image/webp;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _join_names(models: Sequence[str], short_names: Mapping[str, str]) -> str:
    *first, last = (short_names[model] for model in models)
    return f"{', '.join(first)} and {last}" if first else last
