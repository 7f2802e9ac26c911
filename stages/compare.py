"""The three models side by side: metrics/compare.json, the measured Table 1 and every picture of the trainings."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from realwaste import comparison, figures
from realwaste.atomic import write_csv, write_json
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.tables import read_csv

if TYPE_CHECKING:
    from stages.params import Params

METRICS, PLOTS = Path("metrics"), Path("plots")


def main(params: "Params") -> None:
    evaluated = read_json(METRICS / "evaluate.json")
    dataset = evaluated.pop("dataset")
    for name, facts in read_json(METRICS / "cost.json").items():
        evaluated[name] |= facts
    predicted = read_csv(Path("data/predictions.csv"))
    rows = comparison.table1(evaluated, _trainings(), predicted, dataset)
    pairs = comparison.pairs(predicted)

    write_json(METRICS / "compare.json", {"dataset": dataset} | rows | {"pairs": pairs})
    names = comparison.names(rows)
    write_csv(PLOTS / "data/accuracy.csv", comparison.accuracies(rows, names).assign(dataset=dataset))
    _draw(figures.Studio(dataset, params.plots.color, params.plots.dpi), rows, names, evaluated)
    for name, row in rows.items():
        low, high = row["test_accuracy_low"], row["test_accuracy_high"]
        shown = comparison.one_line(names)[name]
        logger.info("%s, %s: test accuracy %.4f (%.4f to %.4f)", dataset, shown, row["test_accuracy"], low, high)
    for pair, facts in pairs.items():
        logger.info("%s: %s (p = %.3g)", pair, facts["verdict"], facts["mcnemar_p"])


def _trainings() -> dict[str, dict[str, Any]]:
    """Backbone, weights and seconds a model; a fine-tuned one's seconds are its vectors' and its head's."""
    cnn = read_json(METRICS / "train_cnn.json")
    trainings = {"cnn": {"backbone": "CNN", "weights": "trained from random", "seconds": cnn["seconds"]}}
    for name in ("irv2", "densenet"):
        head = read_json(METRICS / f"finetune_{name}.json")
        embedded = read_json(METRICS / f"embed_{name}.json")["seconds"]
        trainings[name] = {key: head[key] for key in ("backbone", "weights")}
        trainings[name]["seconds"] = round(head["seconds"] + embedded, 2)
    return trainings


def _draw(
    studio: figures.Studio,
    rows: dict[str, Any],
    names: dict[str, str],
    evaluated: dict[str, Any],
) -> None:
    confusions = read_csv(PLOTS / "data/confusion.csv")
    for model, name in comparison.one_line(names).items():
        history = read_csv(PLOTS / f"data/history_{model}.csv")
        figures.training_curves(studio, PLOTS / f"training_{model}.png", name, history)
        counts = confusions[confusions["model"] == model].pivot(index="actual", columns="predicted", values="images")
        figures.confusion(studio, PLOTS / f"confusion_{model}.png", name, counts)
    sweep = read_csv(PLOTS / "data/lr_sweep.csv")
    best = read_json(METRICS / "lr_sweep.json")["best_learning_rate"]
    figures.learning_rates(studio, PLOTS / "lr_sweep.png", sweep, best)
    figures.model_scores(studio, PLOTS / "test_scores.png", rows, names)
    figures.class_scores(studio, PLOTS / "class_scores.png", comparison.class_scores(evaluated), names)
    figures.table1(studio, PLOTS / "table1.png", comparison.readable(rows, names))
