"""Every model's answer for every image, once: data/predictions.csv, and what the test answers are worth."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from realwaste.core import machine
from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.embedding import embeddings
from realwaste.evaluation import (
    architecture,
    calibration,
    classification,
    external_sets,
    learning_curve,
    model_predictions,
    prediction_table,
)
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.models import export, model_file, registry, session
from realwaste.models.export import Format
from realwaste.models.model_file import Classifier, Facts
from realwaste.models.probabilities import Probabilities, apply_temperature
from realwaste.models.session import Session
from realwaste.runtime import device, inference_engine
from realwaste.training import head, head_cross_validation
from realwaste.training.finetune import HeadTrainer
from realwaste.training.finetune_recipe import FinetuneRecipe
from stages import learning_curves

if TYPE_CHECKING:
    from stages.launcher.params import Evaluate, Params

PARAMS = [
    "base.seed",
    "base.deterministic",
    "base.inference",
    "evaluate",
    "train_cnn",
    "finetune_irv2",
    "finetune_densenet",
    "finetune_edge",
]
RAW = Path("data/raw")


@dataclass(frozen=True)
class Found:
    """Of one model: its answers, its test figures, the reliability table, what it costs, and what it is made of."""

    rows: pd.DataFrame
    scores: dict[str, Any]
    reliability: pd.DataFrame
    cost: dict[str, Any]
    structure: pd.DataFrame
    machine: dict[str, str | int]
    outside: dict[str, Any]
    said: str


def main(params: "Params") -> None:
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    splits = splits.merge(read_csv(Path("data/groups.csv")), on="path", validate="one_to_one")
    with external_sets.open_external_sets(params.evaluate.external, labels.classes_of(splits)) as outside:
        found = {name: _of_model(params, name, splits, outside) for name in registry.enabled_models()}
        asked = {
            name: one.summary | {"models": {model: own.outside[name] for model, own in found.items()}}
            for name, one in outside.items()
        }
    each = list(found.values())
    whole = pd.concat([own.rows for own in each], ignore_index=True)
    about = {"machine": machine.merge_records({name: own.machine for name, own in found.items()})}
    scored = {name: own.scores for name, own in found.items()}
    write_csv(Path("data/predictions.csv"), whole)
    write_json(Path("metrics/evaluate.json"), {"dataset": dataset} | about | scored)
    write_json(Path("metrics/external.json"), {"dataset": dataset} | about | {"sets": asked})
    write_json(Path("metrics/cost.json"), about | {name: own.cost for name, own in found.items()})
    curves = {name: own["learning_curve"] for name, own in scored.items() if "learning_curve" in own}
    for name, table in (
        ("confusion", prediction_table.count_confusions(whole[whole["split"] == "test"])),
        ("reliability", pd.concat([own.reliability for own in each], ignore_index=True)),
        ("architecture", pd.concat([own.structure for own in each], ignore_index=True)),
        ("learning_curve", learning_curve.curve_table(curves)),
    ):
        write_csv(Path(f"plots/data/{name}.csv"), table.assign(dataset=dataset))
    logger.info("%s, test accuracy: %s", dataset, ", ".join(own.said for own in each))


def _of_model(params: "Params", name: str, splits: pd.DataFrame, outside: dict[str, ExternalSet]) -> Found:
    file, load = registry.model_path(name), cache(model_file.load)
    opened, classifier = partial(session.open_session, file, inference=params.base.inference, load=load), load(file)
    asked, facts = opened(), classifier.facts
    structure = architecture.layer_table(classifier.model)
    probabilities, told = _answers(params.base.inference, classifier, asked, splits)
    recipe = _recipe(params, name, splits)
    trainer = None if recipe is None else HeadTrainer(recipe)
    told |= _other_splits(trainer, params, name, splits)
    told |= learning_curves.of(params, name, trainer, splits, facts.precision)
    rows = prediction_table.build_rows(splits, name, probabilities, labels.classes_of(splits))
    tested = rows[rows["split"] == "test"]
    measured, reliability = _scores(tested, facts)
    costs = _cost(classifier, opened(batch_size=1), RAW / splits["path"].iloc[0], params.evaluate)
    return Found(
        rows=rows,
        scores=measured | told,
        reliability=reliability,
        cost=costs | architecture.total_costs(structure),
        structure=structure.assign(model=name),
        machine=device.record(
            facts.precision, inference=inference_engine.resolve_engine(params.base.inference, facts.precision)
        ),
        outside={set_name: _outside(one, asked, tested) for set_name, one in outside.items()},
        said=_said(facts, measured),
    )


def _said(facts: Facts, measured: dict[str, Any]) -> str:
    shown = f"{facts.name} (RANDOM weights)" if facts.weights == "random" else facts.name
    return "{} {test_accuracy:.3f} ({test_accuracy_low:.3f} to {test_accuracy_high:.3f})".format(shown, **measured)


def _outside(one: ExternalSet, asked: Session, tested: pd.DataFrame) -> dict[str, Any]:
    """What the model is worth on images from elsewhere, beside what it is on the test images of the same classes."""
    return external_sets.evaluate_in_domain_and_external(one, asked.facts, asked.predict_files(one.files)[0], tested)


def _answers(
    inference: str, classifier: Classifier, asked: Session, splits: pd.DataFrame
) -> tuple[Probabilities, dict[str, Any]]:
    """What the model says of every image, and for metrics what else that tells, and how its repeats did in the test."""
    name, tested = classifier.facts.name, np.flatnonzero(splits["split"] == "test")
    files, vectors = [RAW / path for path in splits["path"]], None
    if head.is_enough(classifier.model):
        vectors = embeddings.load(Path(f"data/embeddings/{name}")).select(splits["path"].tolist())
    probabilities, facts = model_predictions.check_predictions(
        asked.predict_files(files, vectors), classifier.novelty, tested, name
    )
    if name in registry.BACKBONES:
        of_test = [files[row] for row in tested], None if vectors is None else vectors[tested]
        known = labels.labels_of(splits, "test")
        facts |= model_predictions.evaluate_repeats(
            classifier, Path(f"models/{name}_heads.npz"), of_test, known, inference
        )
    return probabilities, facts


def _recipe(params: "Params", name: str, splits: pd.DataFrame) -> FinetuneRecipe | None:
    """How a model's head was fitted; None of the CNN."""
    if name not in registry.BACKBONES:
        return None
    return FinetuneRecipe.from_params(
        getattr(params, f"finetune_{name}"),
        classes=len(labels.classes_of(splits)),
        seed=params.base.seed,
        deterministic=params.base.deterministic,
    )


def _other_splits(trainer: HeadTrainer | None, params: "Params", name: str, splits: pd.DataFrame) -> dict[str, Any]:
    """What the same head scores on the folds of a repeated, grouped cross-validation; nothing of the CNN."""
    if trainer is None or not params.evaluate.fold_repeats:
        return {}
    classes = labels.classes_of(splits)
    found = head_cross_validation.repeated(
        embeddings.load(Path(f"data/embeddings/{name}")).select(splits["path"].tolist()),
        np.searchsorted(classes, splits["label"]),
        splits["group"].to_numpy(),
        trainer,
        folds=params.evaluate.folds,
        repeats=params.evaluate.fold_repeats,
    )
    return {"other_splits": found} if found else {}


def _cost(classifier: Classifier, asked: Session, image: Path, own: "Evaluate") -> dict[str, Any]:
    file = registry.model_path(classifier.facts.name)
    measured = architecture.measure_cost(classifier.model, asked, file, image, repeats=own.latency_repeats)
    return measured | _export_sizes(classifier, own.exports)


def _export_sizes(classifier: Classifier, formats: Sequence[Format]) -> dict[str, float]:
    """Megabytes of the model in each of these formats, by exporting it."""
    sizes = {}
    with tempfile.TemporaryDirectory(prefix="realwaste-export-") as folder:
        for one in formats:
            path = export.export(classifier, one, Path(folder) / export.default_target(classifier.facts.name, one).name)
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            sizes[f"{one}_mb"] = round(sum(file.stat().st_size for file in files) / 1e6, 2)
    return sizes


def _scores(tested: pd.DataFrame, facts: Facts) -> tuple[dict[str, Any], pd.DataFrame]:
    """The test figures, and the reliability table before and after calibration."""
    labels, raw = prediction_table.labels_of(tested), prediction_table.probabilities_of(tested)
    calibrated = apply_temperature(raw, facts.temperature)
    tables = [
        calibration.reliability_table(labels, own).assign(model=facts.name, probabilities=said)
        for said, own in (("as they are", raw), ("calibrated", calibrated))
    ]
    scored = classification.compute_test_metrics(labels, raw, facts.classes, tested["group"].to_numpy())
    return scored | calibration.compute_metrics(labels, raw, calibrated, facts.temperature), pd.concat(tables)
