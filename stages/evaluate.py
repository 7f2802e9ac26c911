"""Every model's answer for every image, once: data/predictions.csv, and what the test answers are worth."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.classifier import inference, model_file, novelty, registry, temperature_scaling
from realwaste.classifier.model_file import Classifier, Facts
from realwaste.classifier.probabilities import Probabilities, defined
from realwaste.commands import export
from realwaste.commands.export import Format
from realwaste.compute import device
from realwaste.core import machine
from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.embedding import embeddings
from realwaste.evaluation import (
    architecture,
    calibration,
    classification,
    cost,
    external_sets,
    learning_curve,
    predictions,
)
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.finetuning import cross_validation, head
from realwaste.finetuning.phases import Recipe
from realwaste.images import reader
from realwaste.training.fitting import Schedule
from stages import learning_curves

if TYPE_CHECKING:
    from stages.launcher.params import Evaluate, Params

RAW = Path("data/raw")


def main(params: "Params") -> None:
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    splits = splits.merge(read_csv(Path("data/groups.csv")), on="path", validate="one_to_one")
    classes = labels.classes_of(splits)
    answers, costs, scored, made, reliability, structures, said = [], {}, {}, {}, [], [], []
    with external_sets.all_opened(params.evaluate.external, classes) as outside:
        asked: dict[str, Any] = {set_name: one.facts | {"models": {}} for set_name, one in outside.items()}
        for name in registry.on():
            classifier = model_file.load(registry.file(name))
            structure = architecture.table(classifier.model)
            structures.append(structure.assign(model=name))
            probabilities, facts = _answers(classifier, splits)
            facts |= _other_splits(recipe := _recipe(params, name, splits), params, name, splits)
            facts |= learning_curves.of(params, name, recipe, splits, classifier.facts.precision)
            rows = predictions.rows(splits, name, probabilities, classes)
            tested = rows[rows["split"] == "test"]
            measured, table = _scores(tested, classifier.facts)
            answers.append(rows)
            reliability.append(table)
            scored[name] = measured | facts
            made[name] = device.record(classifier.facts.precision)
            costs[name] = _cost(classifier, structure, splits["path"].iloc[0], params.evaluate)
            for set_name, one in outside.items():
                asked[set_name]["models"][name] = _outside(one, classifier, tested)
            said.append(_said(classifier.facts, measured))
    whole = pd.concat(answers, ignore_index=True)
    confusions = predictions.confusions(whole[whole["split"] == "test"])
    write_csv(Path("data/predictions.csv"), whole)
    about = {"machine": machine.merged(made)}
    write_json(Path("metrics/evaluate.json"), {"dataset": dataset} | about | scored)
    write_json(Path("metrics/external.json"), {"dataset": dataset} | about | {"sets": asked})
    write_json(Path("metrics/cost.json"), about | costs)
    write_csv(Path("plots/data/confusion.csv"), confusions.assign(dataset=dataset))
    write_csv(Path("plots/data/reliability.csv"), pd.concat(reliability, ignore_index=True).assign(dataset=dataset))
    write_csv(Path("plots/data/architecture.csv"), pd.concat(structures, ignore_index=True).assign(dataset=dataset))
    curves = {name: own["learning_curve"] for name, own in scored.items() if "learning_curve" in own}
    write_csv(Path("plots/data/learning_curve.csv"), learning_curve.table(curves).assign(dataset=dataset))
    logger.info("%s, test accuracy: %s", dataset, ", ".join(said))


def _said(facts: Facts, measured: dict[str, Any]) -> str:
    shown = f"{facts.name} (RANDOM weights)" if facts.weights == "random" else facts.name
    return "{} {test_accuracy:.3f} ({test_accuracy_low:.3f} to {test_accuracy_high:.3f})".format(shown, **measured)


def _outside(one: ExternalSet, classifier: Classifier, tested: pd.DataFrame) -> dict[str, Any]:
    """What the model is worth on images from elsewhere, beside what it is on the test images of the same classes."""
    facts = classifier.facts
    raw = inference.of_pictures(classifier.predictor, one.files, facts.batch_size)
    return external_sets.at_home_and_outside(one, facts, raw, tested)


def _answers(classifier: Classifier, splits: pd.DataFrame) -> tuple[Probabilities, dict[str, Any]]:
    """What the model says of every image, how often that was no number, and how its repeats did in the test."""
    name, tested = classifier.facts.name, (splits["split"] == "test").to_numpy()
    asked: keras.Model = classifier.predictor
    inputs: Any = np.array([RAW / path for path in splits["path"]])
    ask: Callable[[keras.Model, Any], Probabilities] = partial(
        inference.of_pictures, batch_size=classifier.facts.batch_size
    )
    if head.is_enough(classifier.model):
        asked, ask = head.of(classifier.model), inference.of_vectors
        inputs = embeddings.load(Path(f"data/embeddings/{name}")).of(splits["path"].tolist())
    probabilities, undefined = defined(ask(asked, inputs))
    if undefined:
        logger.warning("%s diverged: %d of its answers are no numbers, counted as 1/n", name, undefined)
    facts: dict[str, Any] = {"undefined_answers": undefined} | _strange(classifier, inputs, np.flatnonzero(tested))
    if name in registry.BACKBONES:
        repeated = head.with_trained(asked, Path(f"models/{name}_heads.npz"))
        again = [defined(ask(model, inputs[tested])) for model in repeated]
        diverged = sum(wrong > 0 for _, wrong in again)
        facts |= classification.repeats(labels.labels_of(splits, "test"), [one for one, _ in again], diverged)
    return probabilities, facts


def _recipe(params: "Params", name: str, splits: pd.DataFrame) -> Recipe | None:
    """How a model's head was fitted; None of the CNN."""
    if name not in registry.BACKBONES:
        return None
    own, base = getattr(params, f"finetune_{name}"), params.base
    schedule = Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, base.seed)
    return Recipe(len(labels.classes_of(splits)), own.dense_units, schedule, base.deterministic, own.dropout)


def _other_splits(recipe: Recipe | None, params: "Params", name: str, splits: pd.DataFrame) -> dict[str, Any]:
    """What the same head scores on the folds of a repeated, grouped cross-validation; nothing of the CNN."""
    if recipe is None or not params.evaluate.fold_repeats:
        return {}
    classes = labels.classes_of(splits)
    found = cross_validation.repeated(
        embeddings.load(Path(f"data/embeddings/{name}")).of(splits["path"].tolist()),
        np.searchsorted(classes, splits["label"]),
        splits["group"].to_numpy(),
        recipe,
        folds=params.evaluate.folds,
        repeats=params.evaluate.fold_repeats,
    )
    return {"other_splits": found} if found else {}


def _cost(classifier: Classifier, structure: pd.DataFrame, path: str, own: "Evaluate") -> dict[str, Any]:
    file = registry.file(classifier.facts.name)
    measured = cost.measure(classifier, file, RAW / path, repeats=own.latency_repeats)
    return measured | architecture.totals(structure) | _export_sizes(classifier, own.exports)


def _export_sizes(classifier: Classifier, formats: Sequence[Format]) -> dict[str, float]:
    """Megabytes of the model in each of these formats, by exporting it."""
    sizes = {}
    with tempfile.TemporaryDirectory(prefix="realwaste-export-") as folder:
        for one in formats:
            path = export.export(classifier, one, Path(folder) / export.default_target(classifier.facts.name, one).name)
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            sizes[f"{one}_mb"] = round(sum(file.stat().st_size for file in files) / 1e6, 2)
    return sizes


def _strange(classifier: Classifier, inputs: Any, tested: NDArray[np.integer]) -> dict[str, float]:
    """The share of test pictures that are unlike anything learned; nothing of a model that cannot say."""
    known, facts = classifier.novelty, classifier.facts
    if known is None:
        return {}
    features = inputs[tested[novelty.sample(len(tested))]]
    if not head.is_enough(classifier.model):
        pictures = reader.read_ahead(list(features), facts.image_size, facts.batch_size)
        features = inference.features_of_batches(classifier.observed, pictures)
    return {"strange_test_share": float((known.strangeness(features) > known.threshold).mean())}


def _scores(tested: pd.DataFrame, facts: Facts) -> tuple[dict[str, Any], pd.DataFrame]:
    """The test figures, and the reliability table before and after calibration."""
    labels, raw = predictions.labels_of(tested), predictions.probabilities_of(tested)
    calibrated = temperature_scaling.tempered(raw, facts.temperature)
    tables = [
        calibration.reliability(labels, own).assign(model=facts.name, probabilities=said)
        for said, own in (("as they are", raw), ("calibrated", calibrated))
    ]
    scored = classification.summary(labels, raw, facts.classes, tested["group"].to_numpy())
    return scored | calibration.summary(labels, raw, calibrated, facts.temperature), pd.concat(tables)
