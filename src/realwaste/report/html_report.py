"""The page that tells what a run did, in one file: plots/report.html."""

import base64
from collections.abc import Mapping
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
    """What the page tells, as the stages left it.

    Attributes:
        fetched, validated, split, sweep: the metrics of fetch, validate_images, split and lr_sweep.
        trainings: the metrics of train_cnn and finetune_*, a model.
        embeddings: the metrics of embed_*, a model that has one.
        evaluated: the metrics of evaluate, a model.
        external: `sets` of metrics/external.json.
        rows, pairs: table1.build_rows and comparison.compare_pairs.
        machines: machine.record of each stage whose results stand in `rows`.
        rejected: path, reason.
        parts: split, label, images.
        histories: a training history a model.
        rates: the sweep's table.
        confusions: model, actual, predicted, images.
        reliability: model, probabilities, bin, images, confidence, accuracy.
        architectures: tables of realwaste.evaluation.architecture, with a column `model`.
        learning_curve: the table of realwaste.evaluation.learning_curve.
        doubted, shortcuts: the metrics of suspects and of shortcuts.
        explained: what the explain stage wrote of single images; its pictures lie in `pictures`.
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
    parts: pd.DataFrame
    histories: Mapping[str, pd.DataFrame]
    rates: pd.DataFrame
    confusions: pd.DataFrame
    reliability: pd.DataFrame
    architectures: pd.DataFrame
    learning_curve: pd.DataFrame
    doubted: Mapping[str, Any]
    shortcuts: Mapping[str, Any]
    explained: Mapping[str, Any]
    pictures: Path


def render_page(story: ReportData) -> str:
    """One self-contained HTML page: charts, pictures and scripts inside, nothing to load."""
    names = comparison.single_line_names(comparison.display_names(story.rows))
    return pages.render_template(
        "report.html",
        _charts(story, names),
        filters={"picture": lambda name: _inlined(story.pictures / name)},
        story=story,
        names=names,
        classes_shown=comparison.class_limit_note(len(story.validated["classes"])),
        made_on=machine.describe(machine.merge_records(story.machines)),
        pairs=_describe_pairs(story),
        test_groups=next(iter(story.rows.values()))["test_groups"],
        correction=comparison.describe_correction(story.pairs),
        warnings=_warnings(story),
        factors=factors.build_factors(story.rows, story.external),
        architectures={
            model: architecture_diagram.layout_boxes(own)
            for model, own in story.architectures.groupby("model", sort=False)
        },
        multiply_adds={
            model: architecture_diagram.format_count(int(own["multiply_adds"].sum()))
            for model, own in story.architectures.groupby("model", sort=False)
        },
        rejected=story.rejected.head(REJECTED_SHOWN).to_dict("records"),
        examples=_by_class(story.explained["examples"]),
        outside=external_results.external_sections(story.external, names),
        confused={
            model: mistakes.most_confused_pairs(own, PAIRS_SHOWN).to_dict("records")
            for model, own in story.confusions.groupby("model", sort=False)
        },
        shortcut=None if background.is_off(story.shortcuts) else background.describe_shortcuts(story.shortcuts),
        changed=None if background.is_off(story.shortcuts) else background.swapped_view_table(story.shortcuts, names),
        unmeasured=_unmeasured(story),
    )


def _warnings(story: ReportData) -> list[str]:
    """What a reader may not miss, in words of one line."""
    said = []
    if story.fetched["origin"] == "synthetic":
        said.append("The pictures are generated, not photographs: these numbers say nothing about waste.")
    drawn = dict.fromkeys(facts["backbone"] for facts in story.trainings.values() if facts.get("weights") == "random")
    if drawn:
        said.append(f"{', '.join(drawn)} had random weights, not pretrained ones.")
    diverged = [model for model, facts in story.trainings.items() if facts["diverged"]]
    if diverged:
        said.append(f"The training of {', '.join(diverged)} diverged: its answers are worth nothing.")
    return said


def _unmeasured(story: ReportData) -> list[dict[str, str]]:
    """What a run can be asked for and this one was not: what it is, and the command."""
    asked = {
        "The models on photographs from elsewhere": (story.external, "evaluate.external=[/path/to/photos]"),
        "What tells the classes apart beside the objects": (
            not background.is_off(story.shortcuts),
            "shortcuts.backbone=densenet",
        ),
        "Test accuracy with fewer images to learn from": (
            len(story.learning_curve),
            "evaluate.learning_curve.percents=[10,25,50,100]",
        ),
        "Sizes as ONNX, LiteRT and SavedModel": (
            any(key in row for row in story.rows.values() for key in factors.EXPORTS),
            "evaluate.exports=[onnx,litert,saved_model]",
        ),
    }
    return [{"what": what, "how": f"dvc exp run -S '{how}'"} for what, (there, how) in asked.items() if not there]


def _describe_pairs(story: ReportData) -> list[dict[str, Any]]:
    """comparison.compare_pairs with the models' names as people know them."""
    short = {model: name.split("\n")[0] for model, name in comparison.display_names(story.rows).items()}
    told = []
    for pair, facts in story.pairs.items():
        first, second = pair.split("_vs_")
        both = short[first], short[second]
        verdict = differences.describe_verdict(differences.find_better(facts, *both))
        told.append({**facts, "models": " and ".join(both), "verdict": verdict})
    return told


def _charts(story: ReportData, names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """A Vega-Lite specification for each place in the template."""
    # Their library takes 0.4 s, which other stages need not wait for.
    from realwaste.report import charts, learning_curves  # noqa: PLC0415

    drawn = {
        "classes": charts.class_counts(story.validated["classes"]),
        "split": charts.split_counts(story.parts),
        "accuracies": charts.accuracies(_accuracies(story.rows, names)),
        "class_scores": charts.class_scores(
            comparison.class_score_table(story.evaluated).assign(name=lambda table: table["model"].map(names))
        ),
        "rates_val_loss": charts.learning_rates(story.rates, "val_loss", "validation loss"),
        "rates_loss": charts.learning_rates(story.rates, "loss", "train loss"),
    }
    if len(story.learning_curve):
        drawn["learning_curve"] = learning_curves.chart(story.learning_curve, names)
    if not background.is_off(story.shortcuts):
        drawn["shortcuts"] = charts.shortcuts(background.view_accuracies(story.shortcuts), story.shortcuts["chance"])
    for model, history in story.histories.items():
        drawn |= {f"{measure}_{model}": charts.curve(history, measure) for measure in ("loss", "accuracy")}
    for one in external_results.external_sections(story.external, names):
        drawn[one["chart"]] = charts.grouped_accuracies(external_results.accuracy_rows(one["models"], names))
    for model, counts in story.confusions.groupby("model", sort=False):
        drawn[f"confusion_{model}"] = charts.confusion(comparison.hardest_classes(counts))
    for model, table in story.reliability.groupby("model", sort=False):
        drawn[f"reliability_{model}"] = charts.reliability(table)
    return drawn


def _accuracies(rows: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> pd.DataFrame:
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


def _by_class(examples: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    labels = dict.fromkeys(example["label"] for example in examples)
    return {label: [example for example in examples if example["label"] == label] for label in labels}


def _inlined(path: Path) -> str:
    return f"data:image/webp;base64,{base64.b64encode(path.read_bytes()).decode()}"
