"""The answer of a run in words: which model to use, what to expect of it, and what the test does not show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from realwaste.evaluation import calibration, cluster_bootstrap, prediction_table
from realwaste.models import registry
from realwaste.report import comparison, factors
from realwaste.report.report_data import ReportData

_STRONG = 0.9  # recall from which a class counts as strong
_CLASSES_NAMED = 3
_FEW_IMAGES = 100
_MANY_NEIGHBOURS = 0.1


@dataclass(frozen=True)
class Verdict:
    """What a reader who knows no statistics needs.

    Attributes:
        model, name: of the recommended model, as `--model` takes it and as readers see it.
        result, expectation, choice: a sentence each.
        strong, weak: classes with their counts; the weak ones with the class that they are most often taken for.
        limits: what the test does not show, a sentence each.
        decisions: from calibration.count_decisions.
        next_steps: what to do and the command for it.
    """

    model: str
    name: str
    result: str
    expectation: str
    choice: str
    strong: list[str]
    weak: list[str]
    limits: list[str]
    decisions: list[dict[str, float]]
    next_steps: list[tuple[str, str]]


def rank_models(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """All models by validation accuracy, stand-ins last."""
    return sorted(rows, key=lambda model: (rows[model]["weights"] == registry.RANDOM, -rows[model]["val_accuracy"]))


def count_decisions(tested: pd.DataFrame, model: str) -> list[dict[str, float]]:
    """calibration.count_decisions of a model on the test images; `tested` as of ReportData."""
    rows = tested[tested["model"] == model]
    return calibration.count_decisions(prediction_table.labels_of(rows), prediction_table.probabilities_of(rows))


def build_verdict(data: ReportData) -> Verdict:
    """The verdict on a run."""
    model = registry.best_by_validation(comparison.without_ensemble(data.rows))
    row, decisions = data.rows[model], count_decisions(data.tested, model)
    things = "generated pictures" if data.fetched["origin"] == "synthetic" else "photographs"
    low, high = (round(100 * row[f"test_accuracy_{end}"]) for end in ("low", "high"))
    between = f"{low} to {high}" if low < high else f"{low}"
    val = data.split["val"]
    return Verdict(
        model=model,
        name=comparison.short_names(data.rows)[model],
        result=f"Right on {decisions[0]['right']} of {decisions[0]['decided']} {things} that it had never seen.",
        expectation=f"On similar {things}, expect {between} of 100 right.",
        choice=f"It was chosen before the test, by {val} other {things} ({round(row['val_accuracy'] * val)} right).",
        strong=_strong_classes(data.evaluated[model]["per_class"]),
        weak=_weak_classes(data.evaluated[model]["per_class"], data.confusions[data.confusions["model"] == model]),
        limits=list(_limits(data, model, things)),
        decisions=decisions,
        next_steps=list(_next_steps(data, model)),
    )


def summarize(verdict: Verdict, warnings: Sequence[str]) -> list[str]:
    """The end of a run in a few lines, for the terminal."""
    step, command = verdict.next_steps[0]
    return [
        f"Best model: {verdict.name}. {verdict.result}",
        verdict.expectation,
        *warnings,
        "Report: plots/report.html",
        f"Next: {step.lower()}: {command}",
    ]


def _strong_classes(per_class: Mapping[str, Mapping[str, Any]]) -> list[str]:
    strong = [name for name, scores in per_class.items() if scores["support"] and scores["recall"] >= _STRONG]
    strong.sort(key=lambda name: (-per_class[name]["recall"], -per_class[name]["support"]))
    phrases = [f"{name} ({_count(per_class[name])})" for name in strong[:_CLASSES_NAMED]]
    return [*phrases, *([f"and {len(strong) - _CLASSES_NAMED} more"] if len(strong) > _CLASSES_NAMED else [])]


def _weak_classes(per_class: Mapping[str, Mapping[str, Any]], confusions: pd.DataFrame) -> list[str]:
    weak = [name for name, scores in per_class.items() if scores["support"] and scores["recall"] < _STRONG]
    phrases = []
    for name in sorted(weak, key=lambda name: per_class[name]["recall"])[:_CLASSES_NAMED]:
        others = confusions[(confusions["actual"] == name) & (confusions["predicted"] != name)]
        worst = others.loc[others["images"].idxmax()]
        phrases.append(f"{name} ({_count(per_class[name])}; most often taken for {worst['predicted']})")
    return phrases


def _count(scores: Mapping[str, Any]) -> str:
    return f"{round(scores['recall'] * scores['support'])} of {scores['support']}"


def _limits(data: ReportData, model: str, things: str) -> Iterator[str]:
    row, test = data.rows[model], data.split["classes"]["test"]
    most_frequent = max(test, key=lambda name: int(test[name]))
    if row["test_accuracy_low"] <= test[most_frequent] / sum(test.values()):
        yield f"It is not shown to be better than always answering {most_frequent}."
    if row["test_groups"] < cluster_bootstrap.MIN_GROUPS:
        yield f"The test shows only {row['test_groups']} different objects or series: too few to tell about others."
    elif data.split["test"] < _FEW_IMAGES:
        yield f"The test is small, {data.split['test']} {things}: trust the range, not the single number."
    if data.split["strategy"] != "grouped" and data.split["exposure"]["neighbour_within_1"] > _MANY_NEIGHBOURS:
        share = 100 * data.split["exposure"]["neighbour_within_1"]
        yield (
            f"{share:.0f} % of the tested {things} come right before or after a training one and may show the same "
            "object: on new objects expect less."
        )
    yield from _rivals(data, model)
    for name, external_set in data.external.items():
        results = external_set["models"][model]["outside"]
        right = round(results["accuracy"] * results["images"])
        low, high = (round(100 * results[f"accuracy_{end}"]) for end in ("low", "high"))
        yield f"On {name} it was right on {right} of {results['images']} photographs: expect {low} to {high} of 100."
    if data.fetched["origin"] == "synthetic":
        yield "Not tested: photographs. The model knows generated pictures only."
    elif not data.external:
        yield "Not tested: photographs of another camera, place or light. Expect less there."


def _next_steps(data: ReportData, model: str) -> Iterator[tuple[str, str]]:
    if data.fetched["origin"] == "synthetic":
        yield "Train on your photographs, one folder per class", "dvc exp run -S fetch.source=/path/to/photos"
    else:
        yield (
            "Predict your photographs",
            f"realwaste predict photos/ --model {model} --min-confidence 0.8 --csv photos.csv",
        )
        yield "Test the model on photographs of another camera", f"realwaste evaluate other_photos/ --model {model}"
    doubtful = data.suspects.get("doubted_by_any", data.suspects["doubted_by_all"])  # runs of earlier versions
    yield f"Look at the {doubtful} doubtful labels, then run again", "realwaste review"
    rows = data.rows.values()
    if not data.external:
        yield "Measure the accuracy on another camera in each run", _override("evaluate.external=[/path/to/photos]")
    if not len(data.learning_curve):
        percents = "evaluate.learning_curve.percents=[10,25,50,100]"
        yield "Measure the accuracy with fewer training images", _override(percents)
    if not any(key in row for row in rows for key in factors.EXPORTS):
        yield "Measure the sizes in other formats", _override("evaluate.exports=[onnx,litert,saved_model]")


def _override(parameter: str) -> str:
    return f"dvc exp run -S '{parameter}'"


def _rivals(data: ReportData, model: str) -> Iterator[str]:
    """The models that the test does not show to be worse; stand-ins and the soft vote are no choice."""
    names = comparison.short_names(data.rows)
    better: list[str] = []
    equal: list[str] = []
    for other, winner, _ in comparison.find_rivals(model, data.pairs):
        is_choice = other != comparison.ENSEMBLE and data.rows[other]["weights"] != registry.RANDOM
        if is_choice and winner != model:
            (equal if winner is None else better).append(names[other])
    if better:
        yield f"In the test {' and '.join(better)} did better; a choice by the test would be too optimistic."
    if equal:
        yield f"The test shows no difference to {' and '.join(equal)}: take whichever is faster or smaller."
