"""The models side by side: metrics/compare.json and its summary, Table 1 measured, pictures, report and model cards."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from realwaste.core import log, machine
from realwaste.core.files import read_csv, read_json, write_csv, write_json, write_text
from realwaste.core.log import logger
from realwaste.models import registry
from realwaste.report import charts, comparison, factors, figures, html_report, model_card, table1, verdict
from realwaste.report.report_data import ReportData
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.finetune_recipe import FinetuneRecipe

if TYPE_CHECKING:
    from stages.launcher.params import Params

PARAMS = ["base.seed", "train_cnn", "finetune_{slot}", "plots"]
METRICS, PLOTS = Path("metrics"), Path("plots")
_CELL = {"step": 40}  # the width of a column of a heat map


def main(params: "Params") -> None:
    report = _collect()
    dataset, origin, names = report.fetched["dataset"], report.fetched["origin"], comparison.display_names(report.rows)
    correction = comparison.describe_correction(report.pairs)
    merged = {"dataset": dataset, "origin": origin, "machine": machine.merge_records(report.machines)}
    metrics = merged | dict(report.rows) | {"pairs": report.pairs, "correction": correction}
    write_json(METRICS / "compare.json", metrics)
    write_json(METRICS / "summary.json", comparison.summarize_run(report.rows, dataset, report.split["test"]))
    write_csv(PLOTS / "accuracy.csv", comparison.accuracy_by_part(report.rows, names).assign(dataset=dataset))
    _draw(figures.FigureWriter(dataset, origin, params.plots.color, params.plots.dpi), report, names)
    write_text(PLOTS / "report.html", html_report.render_page(report))
    for name in registry.MODELS:
        write_text(Path(f"models/{name}.md"), _model_card(name, params, report))
    logger.info("wrote the report page, its figures and %d model cards", len(registry.MODELS))
    if not log.is_quiet():
        summary = verdict.summarize(verdict.build_verdict(report), html_report.describe_warnings(report))
        log.banner("The result", *summary, color="green")


def _model_card(name: str, params: "Params", report: ReportData) -> str:
    section, seed = getattr(params, "train_cnn" if name == "cnn" else f"finetune_{name}"), params.base.seed
    recipe: CnnRecipe | FinetuneRecipe = (
        CnnRecipe.from_params(section, seed=seed)
        if name == "cnn"
        else FinetuneRecipe.from_params(section, classes=report.fetched["classes"], seed=seed)
    )
    # A stand-in may have a smaller image size than its section.
    image_size = report.embeddings.get(name, {"image_size": section.image_size})["image_size"]
    stages = {f"train_{name}", f"embed_{name}", f"finetune_{name}", "evaluate"}
    return model_card.render_card(
        model_card.CardData(
            name,
            report,
            machine=machine.merge_records({key: value for key, value in report.machines.items() if key in stages}),
            parameters=section.model_dump() | {"seed": seed, "image_size": image_size},
            recipe=recipe,
        )
    )


def _collect() -> ReportData:
    metrics = {path.stem: read_json(path) for path in METRICS.glob("*.json")}
    tables = {path.stem: read_csv(path) for path in (PLOTS / "data").glob("*.csv")}
    evaluated = {name: metrics["evaluate"][name] | metrics["cost"][name] for name in registry.MODELS}
    trainings = {"cnn": metrics["train_cnn"]} | {name: metrics[f"finetune_{name}"] for name in registry.BACKBONES}
    embeddings = {name: metrics[f"embed_{name}"] for name in registry.BACKBONES}
    computing = ["train_cnn", *(f"{work}_{name}" for work in ("embed", "finetune") for name in embeddings), "evaluate"]
    members = {name: evaluated[name] for name in comparison.ensemble_members(trainings)}
    predicted = read_csv(Path("data/predictions.csv"))
    votes = comparison.ensemble_predictions(predicted[predicted["model"].isin(list(members))])
    predicted = pd.concat([predicted, votes], ignore_index=True)
    measured = evaluated | {comparison.ENSEMBLE: comparison.ensemble_metrics(votes, members)}
    external, origin = metrics["external"]["sets"], metrics["fetch"]["origin"]
    rows = _table1(measured, trainings, embeddings, predicted, origin, external_sets=external)
    return ReportData(
        fetched=metrics["fetch"],
        validated=metrics["validate_images"],
        split=metrics["split"],
        sweep=metrics["lr_sweep"],
        trainings=trainings,
        embeddings=embeddings,
        evaluated=evaluated,
        external=external,
        rows=rows,
        pairs=comparison.compare_pairs(predicted),
        machines={stage: metrics[stage]["machine"] for stage in computing},
        rejected=read_csv(Path("data/rejected.csv")),
        split_counts=tables["splits"],
        histories={name: tables[f"history_{name}"] for name in trainings},
        sweep_table=tables["lr_sweep"],
        tested=predicted[predicted["split"] == "test"],
        confusions=tables["confusion"],
        reliability=tables["reliability"],
        architectures=tables["architecture"],
        learning_curve=tables["learning_curve"],
        suspects=metrics["suspects"],
        shortcuts=metrics["shortcuts"],
        explanations=read_json(Path("data/explanations/explanations.json")),
        pictures=Path("data/explanations"),
    )


def _table1(
    measured: dict[str, Any],
    trainings: dict[str, dict[str, Any]],
    embeddings: dict[str, dict[str, Any]],
    predicted: pd.DataFrame,
    origin: str,
    *,
    external_sets: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    # The seconds of a fine-tuned model are those of its embedding and its training.
    seconds = {
        name: round(training["seconds"] + embeddings.get(name, {"seconds": 0})["seconds"], 2)
        for name, training in trainings.items()
    }
    members = comparison.ensemble_members(trainings)
    ensemble = {"backbone": "Soft vote", "weights": f"those of the {len(members)}"}
    all_trainings = trainings | {comparison.ENSEMBLE: ensemble}
    seconds[comparison.ENSEMBLE] = round(sum(seconds[name] for name in members), 2)
    rows = table1.build_rows(measured, all_trainings, seconds, predicted, origin, external_sets=external_sets)
    rows[comparison.ENSEMBLE]["members"] = ", ".join(members)
    return rows


def _draw(writer: figures.FigureWriter, report: ReportData, names: dict[str, str]) -> None:
    note = comparison.class_limit_note(len(report.validated["classes"]))
    for model, history in report.histories.items():
        curves = [charts.curve(history, measure) for measure in ("loss", "accuracy")]
        writer.save_charts(PLOTS / f"training_{model}.png", f"Training of {names[model]}", *curves)
        confusion = comparison.hardest_classes(report.confusions[report.confusions["model"] == model])
        title = f"Confusion matrix of {names[model]}{note}, test images"
        writer.save_charts(PLOTS / f"confusion_{model}.png", title, charts.confusion(confusion), width=_CELL)
    rates = [
        charts.learning_rates(report.sweep_table, measure, title)
        for measure, title in (("loss", "train loss"), ("val_loss", "validation loss"))
    ]
    writer.save_charts(
        PLOTS / "lr_sweep.png",
        comparison.describe_sweep(report.sweep_table, report.sweep["best_learning_rate"]),
        *rates,
    )
    scores = comparison.model_scores(report.rows, names)
    title = "Test accuracy and loss"
    writer.save_charts(PLOTS / "test_scores.png", title, charts.accuracies(scores), charts.losses(scores))
    table = comparison.class_score_table(report.evaluated).assign(name=lambda rows: rows["model"].map(names))
    heat_maps = [charts.class_scores(table, measure) for measure in ("precision", "recall", "f1")]
    writer.save_charts(PLOTS / "class_scores.png", f"Test scores per class{note}", *heat_maps, width=_CELL)
    claims = factors.has_claims(report.fetched["origin"])
    columns = comparison.display_names(report.rows, "\n")
    writer.save_table1(
        PLOTS / "table1.png", factors.format_table1(report.rows, columns, report.external, claims=claims)
    )
