"""The report page of a run as a single file: plots/report.html."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core import machine
from realwaste.evaluation import differences, mistakes
from realwaste.report import architecture_diagram, background, comparison, external_results, factors, pages
from realwaste.report.figures import MODEL_COLORS

REJECTED_SHOWN = 50
PAIRS_SHOWN = 5


@dataclass(frozen=True)
class ReportData:
    """The results of a run, as its stages wrote them.

    Attributes:
        fetched, validated, split, sweep: the metrics of fetch, validate_images, split and lr_sweep.
        trainings: the metrics of train_cnn and finetune_*, by model.
        embeddings: the metrics of embed_*, by model.
        evaluated: the metrics of evaluate, by model.
        external: `sets` of metrics/external.json.
        rows, pairs: from table1.build_rows and comparison.compare_pairs.
        machines: machine.record of each stage that contributes to `rows`.
        rejected: path, reason.
        split_counts: split, label, images.
        histories: the training history of each model.
        sweep_table: plots/data/lr_sweep.csv.
        confusions: model, actual, predicted, images.
        reliability: model, probabilities, bin, images, confidence, accuracy.
        architectures: tables of realwaste.models.architecture, with a column `model`.
        learning_curve: the table of realwaste.evaluation.learning_curve.
        suspects, shortcuts: the metrics of the stages suspects and shortcuts.
        explanations: the table of images that the stage explain wrote; the files are in the folder `pictures`.
    """

    fetched: Mapping[str, Any]
    validated: Mapping[str, Any]
    split: Mapping[str, Any]
    sweep: Mapping[str, Any]
    trainings: Mapping[str, Mapping[str, Any]]
    embeddings: Mapping[str, Mapping[str, Any]]
    evaluated: Mapping[str, Mapping[str, Any]]
    external: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Mapping[str, Any]]
    pairs: Mapping[str, Mapping[str, Any]]
    machines: Mapping[str, Mapping[str, Any]]
    rejected: pd.DataFrame
    split_counts: pd.DataFrame
    histories: Mapping[str, pd.DataFrame]
    sweep_table: pd.DataFrame
    confusions: pd.DataFrame
    reliability: pd.DataFrame
    architectures: pd.DataFrame
    learning_curve: pd.DataFrame
    suspects: Mapping[str, Any]
    shortcuts: Mapping[str, Any]
    explanations: Mapping[str, Any]
    pictures: Path


def render_page(data: ReportData) -> str:
    """One self-contained HTML page with charts, pictures and scripts."""
    names = comparison.single_line_names(comparison.display_names(data.rows))
    short_names = _short_names(data)
    return pages.render_template(
        "report.html",
        _charts(data, names),
        filters={"picture": lambda name: _data_uri(data.pictures / name)},
        data=data,
        names=names,
        classes_shown=comparison.class_limit_note(len(data.validated["classes"])),
        made_on=machine.describe(machine.merge_records(data.machines)),
        pairs=_describe_pairs(data),
        test_groups=next(iter(data.rows.values()))["test_groups"],
        correction=comparison.describe_correction(data.pairs),
        warnings=_warnings(data),
        factors=factors.build_factors(data.rows, data.external),
        architectures={
            model: architecture_diagram.layout_boxes(table)
            for model, table in data.architectures.groupby("model", sort=False)
        },
        multiply_adds={
            model: architecture_diagram.format_count(int(table["multiply_adds"].sum()))
            for model, table in data.architectures.groupby("model", sort=False)
        },
        rejected=data.rejected.head(REJECTED_SHOWN).to_dict("records"),
        examples=_group_by_class(data.explanations["examples"]),
        external_sets=external_results.external_sections(data.external, names),
        confused={
            model: mistakes.most_confused_pairs(table, PAIRS_SHOWN).to_dict("records")
            for model, table in data.confusions.groupby("model", sort=False)
        },
        shortcut=background.describe_shortcuts(data.shortcuts),
        swapped_views=background.swapped_view_table(data.shortcuts, names),
        unmeasured=_missing_measurements(data),
        members=_join_names(comparison.ensemble_members(data.trainings), short_names),
        label_backbones=_join_names(data.suspects["backbones"].split(", "), short_names),
    )


def _warnings(data: ReportData) -> list[str]:
    """Warnings for the top of the page, one line each."""
    lines = []
    if data.fetched["origin"] == "synthetic":
        lines.append("The pictures are generated, not photographs: these numbers say nothing about waste.")
    if stand_ins := comparison.describe_stand_ins(data.embeddings):
        lines.append(stand_ins)
    diverged = [model for model, facts in data.trainings.items() if facts["diverged"]]
    if diverged:
        lines.append(f"The training of {', '.join(diverged)} diverged: its predictions are useless.")
    return lines


def _missing_measurements(data: ReportData) -> list[dict[str, str]]:
    """Optional measurements that this run does not have, each with the parameter that enables it."""
    measurements = {
        "Accuracy on external test sets": (data.external, "evaluate.external=[/path/to/photos]"),
        "Test accuracy with fewer training images": (
            len(data.learning_curve),
            "evaluate.learning_curve.percents=[10,25,50,100]",
        ),
        "Sizes as ONNX, LiteRT and SavedModel": (
            any(key in row for row in data.rows.values() for key in factors.EXPORTS),
            "evaluate.exports=[onnx,litert,saved_model]",
        ),
    }
    return [
        {"title": title, "command": f"dvc exp run -S '{override}'"}
        for title, (is_measured, override) in measurements.items()
        if not is_measured
    ]


def _describe_pairs(data: ReportData) -> list[dict[str, Any]]:
    """The records of comparison.compare_pairs with display names in the verdicts."""
    short, records = _short_names(data), []
    for pair, facts in data.pairs.items():
        first, second = pair.split("_vs_")
        pair_names = short[first], short[second]
        verdict = differences.describe_verdict(facts, *pair_names)
        records.append({**facts, "models": " and ".join(pair_names), "verdict": verdict})
    return records


def _charts(data: ReportData, names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The Vega-Lite specification of each chart in the template."""
    # Imported here because importing Altair takes 0.4 s.
    from realwaste.report import charts  # noqa: PLC0415

    specs = {
        "classes": charts.class_counts(data.validated["classes"]),
        "split": charts.split_counts(data.split_counts),
        "accuracies": charts.accuracies(_accuracy_rows(data.rows, names)),
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
    for section in external_results.external_sections(data.external, names):
        specs[section["chart"]] = charts.grouped_accuracies(external_results.accuracy_rows(section["models"], names))
    for model, counts in data.confusions.groupby("model", sort=False):
        specs[f"confusion_{model}"] = charts.confusion(comparison.hardest_classes(counts))
    for model, table in data.reliability.groupby("model", sort=False):
        specs[f"reliability_{model}"] = charts.reliability(table)
    return specs


def _accuracy_rows(rows: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": names[model],
                "accuracy": row["test_accuracy"],
                "low": row["test_accuracy_low"],
                "high": row["test_accuracy_high"],
                "color": MODEL_COLORS[model],
            }
            for model, row in rows.items()
        ]
    )


def _group_by_class(examples: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    labels = dict.fromkeys(example["label"] for example in examples)
    return {label: [example for example in examples if example["label"] == label] for label in labels}


def _data_uri(path: Path) -> str:
    return f"data:image/webp;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _short_names(data: ReportData) -> dict[str, str]:
    """The display names without the weights."""
    return {model: name.split("\n")[0] for model, name in comparison.display_names(data.rows).items()}


def _join_names(models: Sequence[str], short_names: Mapping[str, str]) -> str:
    *first, last = (short_names[model] for model in models)
    return f"{', '.join(first)} and {last}" if first else last
