"""Every model's prediction for every image: data/predictions.csv, and the test metrics computed from it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from realwaste.core import machine
from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.library_settings import importing_tensorflow
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.embedding import embeddings
from realwaste.evaluation import (
    calibration,
    classification,
    external_sets,
    learning_curve,
    model_predictions,
    prediction_table,
)
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.models import model_file, registry
from realwaste.models.architecture import Architecture
from realwaste.models.model_file import ModelMetadata
from realwaste.models.probabilities import Probabilities, apply_temperature
from realwaste.models.session import Session, open_session
from realwaste.runtime import inference_engine

if TYPE_CHECKING:
    from realwaste.models.export import Format
    from stages.launcher.params import Evaluate, Params

PARAMS = ["base.seed", "base.deterministic", "base.inference", "evaluate", "train_cnn"]
RAW = Path("data/raw")


@dataclass(frozen=True)
class ModelEvaluation:
    """What was measured of one model."""

    predictions: pd.DataFrame  # see prediction_table.build_rows
    metrics: dict[str, Any]  # for metrics/evaluate.json
    reliability: pd.DataFrame  # before and after calibration
    cost: dict[str, Any]  # for metrics/cost.json
    layers: pd.DataFrame  # as of Architecture.table
    machine: dict[str, str | int]
    external: dict[str, Any]  # the metrics on each external test set, by its name
    summary: str  # for the log


def main(params: "Params") -> None:
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    splits = splits.merge(read_csv(Path("data/groups.csv")), on="path", validate="one_to_one")
    photographs = [model_file.read_photographs(registry.model_path(name)) for name in registry.MODELS]
    with external_sets.open_external_sets(params.evaluate.external, labels.classes_of(splits), photographs) as sets:
        models = {name: _evaluate_model(params, name, splits, sets) for name in registry.MODELS}
        external = {
            name: external_set.summary | {"models": {model: models[model].external[name] for model in models}}
            for name, external_set in sets.items()
        }
    evaluations = list(models.values())
    predictions = pd.concat([evaluation.predictions for evaluation in evaluations], ignore_index=True)
    records = machine.merge_records({name: evaluation.machine for name, evaluation in models.items()})
    metrics = {name: evaluation.metrics for name, evaluation in models.items()}
    costs = {name: evaluation.cost for name, evaluation in models.items()}
    write_csv(Path("data/predictions.csv"), predictions)
    write_json(Path("metrics/evaluate.json"), {"dataset": dataset, "machine": records} | metrics)
    write_json(Path("metrics/external.json"), {"dataset": dataset, "machine": records, "sets": external})
    write_json(Path("metrics/cost.json"), {"machine": records} | costs)
    curves = {name: metrics[name]["learning_curve"] for name in metrics if "learning_curve" in metrics[name]}
    for name, table in (
        ("confusion", prediction_table.count_confusions(predictions[predictions["split"] == "test"])),
        ("reliability", pd.concat([evaluation.reliability for evaluation in evaluations], ignore_index=True)),
        ("architecture", pd.concat([evaluation.layers for evaluation in evaluations], ignore_index=True)),
        ("learning_curve", learning_curve.curve_table(curves)),
    ):
        write_csv(Path(f"plots/data/{name}.csv"), table.assign(dataset=dataset))
    logger.info("test accuracy: %s", "; ".join(evaluation.summary for evaluation in evaluations))


def _evaluate_model(
    params: "Params", name: str, splits: pd.DataFrame, sets: Mapping[str, ExternalSet]
) -> ModelEvaluation:
    file, inference = registry.model_path(name), params.base.inference
    # Only TensorFlow's engine and files of earlier versions need the Keras model, which takes seconds to load.
    open_model = partial(open_session, file, inference=inference, load=cache(model_file.load))
    session, architecture = open_model(), _architecture(file)
    metadata = session.metadata
    logger.info("evaluating %s", registry.display_name(name, metadata.backbone))
    probabilities, metrics = _predict(session, file, architecture, splits, inference)
    metrics |= _other_trainings(params, name, splits, metadata.precision)
    calibrated, classes = apply_temperature(probabilities, metadata.temperature), labels.classes_of(splits)
    predictions = prediction_table.build_rows(splits, name, calibrated, classes, metadata.temperature)
    is_test = (predictions["split"] == "test").to_numpy()
    test_rows = predictions[is_test]
    test_metrics, reliability = _test_metrics(test_rows, probabilities[is_test].astype(np.float64), metadata)
    latency_ms = open_model(batch_size=1).measure_latency(RAW / splits["path"].iloc[0], params.evaluate.latency_repeats)
    return ModelEvaluation(
        predictions=predictions,
        metrics=test_metrics | metrics,
        reliability=reliability,
        cost=_cost(file, architecture, latency_ms, params.evaluate),
        layers=architecture.table().assign(model=name),
        machine=_record_machine(metadata.precision, inference_engine.resolve_engine(inference, metadata.precision)),
        external={set_name: _evaluate_external(test_set, session, test_rows) for set_name, test_set in sets.items()},
        summary=_summary(metadata, test_metrics),
    )


def _architecture(file: Path) -> Architecture:
    """The summary in a model file; of a file of an earlier version, which has none, that of its network."""
    if (summary := model_file.read_architecture(file)) is not None:
        return summary
    model = model_file.load(file).model
    from realwaste.models import layer_table  # noqa: PLC0415 - TensorFlow

    return layer_table.describe(model)


def _record_machine(precision: str, engine: str) -> dict[str, str | int]:
    if engine == "openvino":
        return machine.record(precision, inference=engine)
    from realwaste.runtime import device  # noqa: PLC0415 - TensorFlow, which lists the GPUs

    return device.record(precision, inference=engine)


def _summary(metadata: ModelMetadata, metrics: dict[str, Any]) -> str:
    name = registry.display_name(metadata.name, metadata.backbone)
    random = ", RANDOM weights" if metadata.weights == registry.RANDOM else ""
    return f"{name}{random} {metrics['test_accuracy']:.3f}"


def _evaluate_external(external_set: ExternalSet, session: Session, test_rows: pd.DataFrame) -> dict[str, Any]:
    """The metrics on an external test set, and those on the in-domain test images of the same classes."""
    probabilities, _ = session.predict_files(external_set.files)
    return external_sets.evaluate_in_domain_and_external(external_set, session.metadata, probabilities, test_rows)


def _predict(
    session: Session, file: Path, architecture: Architecture, splits: pd.DataFrame, inference: str
) -> tuple[Probabilities, dict[str, Any]]:
    """Probabilities of every image; metrics of undefined and novel predictions, and of repeats with other seeds."""
    name, test_indices = session.metadata.name, np.flatnonzero(splits["split"] == "test")
    files, vectors = [RAW / path for path in splits["path"]], None
    if architecture.accepts_cached_vectors:
        vectors = embeddings.load(Path(f"data/embeddings/{name}")).select(splits["path"].tolist())
    probabilities, metrics = model_predictions.check_predictions(
        session.predict_files(files, vectors), session.novelty, test_indices, name
    )
    if name in registry.BACKBONES:
        test_inputs = [files[index] for index in test_indices], None if vectors is None else vectors[test_indices]
        y_true = labels.labels_of(splits, "test")
        metrics |= model_predictions.evaluate_repeats(
            file, Path(f"models/{name}_heads.npz"), test_inputs, y_true, inference
        )
    return probabilities, metrics


def _other_trainings(params: "Params", name: str, splits: pd.DataFrame, policy: str) -> dict[str, Any]:
    """What the stage cross_validate measured of a head; of the CNN its learning curve, if params.yaml asks for it."""
    if name in registry.BACKBONES:
        return dict(read_json(Path(f"data/cross_validation/{name}.json")))
    if not (params.evaluate.learning_curve.cnn and params.evaluate.learning_curve.percents):
        return {}
    with importing_tensorflow():
        from stages import cnn_learning_curve  # noqa: PLC0415 - TensorFlow

    return {"learning_curve": cnn_learning_curve.measure(params, splits, policy)}


def _cost(file: Path, architecture: Architecture, latency_ms: float, section: "Evaluate") -> dict[str, Any]:
    """The resource rows of the report's Table 1."""
    sizes = {"file_mb": round(file.stat().st_size / 1e6, 2), "latency_ms": round(latency_ms, 2)}
    return architecture.costs() | sizes | _export_sizes(file, section.exports)


def _export_sizes(file: Path, formats: "Sequence[Format]") -> dict[str, float]:
    """Megabytes of the exported model in each of these formats."""
    if not formats:
        return {}
    classifier, sizes = model_file.load(file), {}
    from realwaste.models import export  # noqa: PLC0415 - TensorFlow

    with tempfile.TemporaryDirectory(prefix="realwaste-export-") as folder:
        for kind in formats:
            target = Path(folder) / export.default_target(classifier.metadata.name, kind).name
            path = export.export(classifier, kind, target)
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            sizes[f"{kind}_mb"] = round(sum(file.stat().st_size for file in files) / 1e6, 2)
    return sizes


def _test_metrics(
    test_rows: pd.DataFrame, raw: Probabilities, metadata: ModelMetadata
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The test metrics, and the reliability table before and after calibration, from rows of the predictions table.

    `raw` has the same probabilities before calibration.
    """
    y_true, calibrated = prediction_table.labels_of(test_rows), prediction_table.probabilities_of(test_rows)
    tables = [
        calibration.reliability_table(y_true, probabilities).assign(model=metadata.name, probabilities=kind)
        for kind, probabilities in (("as they are", raw), ("calibrated", calibrated))
    ]
    metrics = classification.compute_test_metrics(y_true, raw, metadata.classes, test_rows["group"].to_numpy())
    return metrics | calibration.compute_metrics(y_true, raw, calibrated, metadata.temperature), pd.concat(tables)
