"""The models side by side: metrics/compare.json, Table 1 measured, pictures, report and model cards."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from realwaste.core import machine
from realwaste.core.files import read_csv, read_json, write_csv, write_json, write_text
from realwaste.core.log import logger
from realwaste.models import registry
from realwaste.report import comparison, factors, figures, html_report, model_card, table1

if TYPE_CHECKING:
    from stages.launcher.params import Params

PARAMS = ["base.seed", "train_cnn", "finetune_irv2", "finetune_densenet", "finetune_edge", "plots"]
METRICS, PLOTS = Path("metrics"), Path("plots")


def main(params: "Params") -> None:
    told = _story()
    dataset, origin, names = told.fetched["dataset"], told.fetched["origin"], comparison.display_names(told.rows)
    corrected = comparison.describe_correction(told.pairs)
    compared = {"dataset": dataset, "origin": origin, "machine": machine.merged(told.machines)} | dict(told.rows)
    write_json(METRICS / "compare.json", compared | {"pairs": told.pairs, "correction": corrected})
    write_csv(PLOTS / "accuracy.csv", comparison.accuracy_by_part(told.rows, names).assign(dataset=dataset))
    _draw(figures.FigureWriter(dataset, origin, params.plots.color, params.plots.dpi), told, names)
    write_text(PLOTS / "report.html", html_report.render_page(told))
    parameters = {
        "cnn": params.train_cnn,
        "irv2": params.finetune_irv2,
        "densenet": params.finetune_densenet,
        "edge": params.finetune_edge,
    }
    for name, own in parameters.items():
        if name not in told.trainings:
            write_text(Path(f"models/{name}.md"), model_card.OFF_CARD)
            continue
        about = told.fetched, told.split, told.rows[name], told.evaluated[name], told.trainings[name]
        stages = {f"train_{name}", f"embed_{name}", f"finetune_{name}", "evaluate"}
        made = machine.merged({stage: told.machines[stage] for stage in told.machines if stage in stages})
        used = own.model_dump() | {"seed": params.base.seed}
        subject = model_card.CardData(
            name, *about, machine=made, parameters=used, pairs=told.pairs, external=told.external
        )
        write_text(Path(f"models/{name}.md"), model_card.render_card(subject))
    verdicts = (f"{pair}: {facts['verdict']} (p {facts['p_holm']:.2g})" for pair, facts in told.pairs.items())
    logger.info("%s, after %s: %s", dataset, corrected, "; ".join(verdicts))


def _story() -> html_report.ReportData:
    metrics = {path.stem: read_json(path) for path in METRICS.glob("*.json")}
    tables = {path.stem: read_csv(path) for path in (PLOTS / "data").glob("*.csv")}
    models = [name for name in registry.MODELS if name in metrics["cost"]]
    backbones = [name for name in models if name in registry.BACKBONES]
    evaluated = {name: metrics["evaluate"][name] | metrics["cost"][name] for name in models}
    trainings = {"cnn": metrics["train_cnn"]} | {name: metrics[f"finetune_{name}"] for name in backbones}
    embeddings = {name: metrics[f"embed_{name}"] for name in backbones}
    computing = ["train_cnn", *(f"{work}_{name}" for work in ("embed", "finetune") for name in backbones), "evaluate"]
    predicted = read_csv(Path("data/predictions.csv"))
    votes = comparison.ensemble_predictions(
        predicted, {name: facts["temperature"] for name, facts in evaluated.items()}
    )
    everything = pd.concat([predicted, votes], ignore_index=True)
    measured = evaluated | {comparison.ENSEMBLE: comparison.ensemble_metrics(votes, evaluated)}
    external = metrics["external"]["sets"]
    return html_report.ReportData(
        fetched=metrics["fetch"],
        validated=metrics["validate_images"],
        split=metrics["split"],
        sweep=metrics["lr_sweep"],
        trainings=trainings,
        embeddings=embeddings,
        evaluated=evaluated,
        external=external,
        rows=_table1(measured, trainings, embeddings, everything, metrics["fetch"]["origin"], outside=external),
        pairs=comparison.compare_pairs(everything),
        machines={stage: metrics[stage]["machine"] for stage in computing},
        rejected=read_csv(Path("data/rejected.csv")),
        parts=tables["splits"],
        histories={name: tables[f"history_{name}"] for name in trainings},
        rates=tables["lr_sweep"],
        confusions=tables["confusion"],
        reliability=tables["reliability"],
        architectures=tables["architecture"],
        learning_curve=tables["learning_curve"],
        doubted=metrics["suspects"],
        shortcuts=metrics["shortcuts"],
        explained=read_json(Path("data/explanations/explanations.json")),
        pictures=Path("data/explanations"),
    )


def _table1(
    measured: dict[str, Any],
    trainings: dict[str, dict[str, Any]],
    embeddings: dict[str, dict[str, Any]],
    predicted: pd.DataFrame,
    origin: str,
    *,
    outside: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    # A fine-tuned model's seconds are its vectors' and its head's.
    seconds = {
        name: round(own["seconds"] + embeddings.get(name, {"seconds": 0})["seconds"], 2)
        for name, own in trainings.items()
    }
    # The vote needs no training of its own.
    vote = {"backbone": "Soft vote", "weights": f"those of the {len(trainings)}"}
    named = trainings | {comparison.ENSEMBLE: vote}
    seconds[comparison.ENSEMBLE] = round(sum(seconds.values()), 2)
    return table1.build_rows(measured, named, seconds, predicted, origin, outside=outside)


def _draw(studio: figures.FigureWriter, told: html_report.ReportData, names: dict[str, str]) -> None:
    models = {model: name for model, name in names.items() if model in told.trainings}
    note = comparison.class_limit_note(len(told.validated["classes"]))
    for model, name in comparison.single_line_names(models).items():
        if model == "edge":  # DVC's outputs must exist, and it may be off: its curves and confusions are in the report
            continue
        figures.plot_training_curves(studio, PLOTS / f"training_{model}.png", name, told.histories[model])
        own = comparison.hardest_classes(told.confusions[told.confusions["model"] == model])
        counts = own.pivot(index="actual", columns="predicted", values="images")
        figures.plot_confusion_matrix(studio, PLOTS / f"confusion_{model}.png", f"{name}{note}", counts)
    figures.plot_learning_rates(studio, PLOTS / "lr_sweep.png", told.rates, told.sweep["best_learning_rate"])
    figures.plot_model_scores(studio, PLOTS / "test_scores.png", told.rows, names)
    figures.plot_reliability(studio, PLOTS / "reliability.png", told.reliability, models)
    figures.plot_class_scores(
        studio, PLOTS / "class_scores.png", comparison.class_score_table(told.evaluated), models, note
    )
    figures.plot_table1(studio, PLOTS / "table1.png", factors.format_table1(told.rows, names, told.external))
