"""Every model's answer for every image, once: data/predictions.csv, and what the test answers are worth."""

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from realwaste.classifier import model_file, registry, session, temperature_scaling
from realwaste.classifier.model_file import Classifier, Facts
from realwaste.classifier.probabilities import Probabilities
from realwaste.classifier.session import Session
from realwaste.compute import device
from realwaste.core import machine
from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.embedding import embeddings
from realwaste.evaluation import answers, calibration, classification, cost, external_sets, predictions
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.finetuning import cross_validation, head
from realwaste.finetuning.phases import Recipe
from realwaste.inference import engines
from realwaste.training.fitting import Schedule

if TYPE_CHECKING:
    from stages.launcher.params import Params

RAW = Path("data/raw")


def main(params: "Params") -> None:
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    splits = splits.merge(read_csv(Path("data/groups.csv")), on="path", validate="one_to_one")
    classes = labels.classes_of(splits)
    said_of_all, costs, scored, made, reliability, said = [], {}, {}, {}, [], []
    with external_sets.all_opened(params.evaluate.external, classes) as outside:
        external: dict[str, Any] = {set_name: one.facts | {"models": {}} for set_name, one in outside.items()}
        for name in registry.on():
            file = registry.file(name)
            load = cache(model_file.load)
            opened, classifier = partial(session.opened, file, inference=params.base.inference, load=load), load(file)
            asked = opened()
            probabilities, facts = _answers(params.base.inference, classifier, asked, splits)
            facts |= _other_splits(params, name, splits)
            rows = predictions.rows(splits, name, probabilities, classes)
            tested = rows[rows["split"] == "test"]
            measured, table = _scores(tested, classifier.facts)
            said_of_all.append(rows)
            reliability.append(table)
            scored[name] = measured | facts
            precision = classifier.facts.precision
            made[name] = device.record(precision, inference=engines.resolve(params.base.inference, precision))
            first, repeats = RAW / splits["path"].iloc[0], params.evaluate.latency_repeats
            costs[name] = cost.measure(classifier.model, opened(rows=1), file, first, repeats=repeats)
            for set_name, one in outside.items():
                external[set_name]["models"][name] = _outside(one, asked, tested)
            said.append(_said(classifier.facts, measured))
    whole = pd.concat(said_of_all, ignore_index=True)
    confusions = predictions.confusions(whole[whole["split"] == "test"])
    write_csv(Path("data/predictions.csv"), whole)
    about = {"machine": machine.merged(made)}
    write_json(Path("metrics/evaluate.json"), {"dataset": dataset} | about | scored)
    write_json(Path("metrics/external.json"), {"dataset": dataset} | about | {"sets": external})
    write_json(Path("metrics/cost.json"), about | costs)
    write_csv(Path("plots/data/confusion.csv"), confusions.assign(dataset=dataset))
    write_csv(Path("plots/data/reliability.csv"), pd.concat(reliability, ignore_index=True).assign(dataset=dataset))
    logger.info("%s, test accuracy: %s", dataset, ", ".join(said))


def _said(facts: Facts, measured: dict[str, Any]) -> str:
    shown = f"{facts.name} (RANDOM weights)" if facts.weights == "random" else facts.name
    return "{} {test_accuracy:.3f} ({test_accuracy_low:.3f} to {test_accuracy_high:.3f})".format(shown, **measured)


def _outside(one: ExternalSet, asked: Session, tested: pd.DataFrame) -> dict[str, Any]:
    """What the model is worth on images from elsewhere, beside what it is on the test images of the same classes."""
    return external_sets.at_home_and_outside(one, asked.facts, asked.of_files(one.files)[0], tested)


def _answers(
    inference: str, classifier: Classifier, asked: Session, splits: pd.DataFrame
) -> tuple[Probabilities, dict[str, Any]]:
    """What the model says of every image, and for metrics what else that tells, and how its repeats did in the test."""
    name, tested = classifier.facts.name, np.flatnonzero(splits["split"] == "test")
    files, vectors = [RAW / path for path in splits["path"]], None
    if head.is_enough(classifier.model):
        vectors = embeddings.load(Path(f"data/embeddings/{name}")).of(splits["path"].tolist())
    probabilities, facts = answers.facts(asked.of_files(files, vectors), classifier.novelty, tested, name)
    if name in registry.BACKBONES:
        of_test = [files[row] for row in tested], None if vectors is None else vectors[tested]
        known = labels.labels_of(splits, "test")
        facts |= answers.repeats(classifier, Path(f"models/{name}_heads.npz"), of_test, known, inference)
    return probabilities, facts


def _other_splits(params: "Params", name: str, splits: pd.DataFrame) -> dict[str, Any]:
    """What the same head scores on the folds of a repeated, grouped cross-validation; nothing of the CNN."""
    if name not in registry.BACKBONES or not params.evaluate.fold_repeats:
        return {}
    own, base, classes = getattr(params, f"finetune_{name}"), params.base, labels.classes_of(splits)
    schedule = Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, base.seed)
    found = cross_validation.repeated(
        embeddings.load(Path(f"data/embeddings/{name}")).of(splits["path"].tolist()),
        np.searchsorted(classes, splits["label"]),
        splits["group"].to_numpy(),
        Recipe(len(classes), own.dense_units, schedule, base.deterministic, own.dropout),
        folds=params.evaluate.folds,
        repeats=params.evaluate.fold_repeats,
    )
    return {"other_splits": found} if found else {}


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
