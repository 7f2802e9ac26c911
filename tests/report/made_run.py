"""The results of a run, for the tests of the report page, the cards and the comparisons. All numbers are made up."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from realwaste.core import machine
from realwaste.evaluation import (
    background_views,
    calibration,
    classification,
    external,
    intervals,
    learning_curve,
    prediction_table,
)
from realwaste.models import architecture
from realwaste.models.probabilities import apply_temperature
from realwaste.report import comparison, table1
from realwaste.report.report_data import ReportData

# Folder names with characters that HTML, Markdown or scripts treat specially.
CLASSES = ["Food Organics", "& <b>é</b>", "a|b\"c'</script>", "紙"]
MODELS = ("cnn", "irv2", "densenet")
SECONDS = dict.fromkeys(MODELS, 9.0)
EMBEDDING_FACTS = {"seconds": 12.3, "images": 160, "image_size": 524}
_VIEW_SCORES = {"accuracy": 0.73, "accuracy_low": 0.7, "accuracy_high": 0.76, "other_class": 0.4}
_SWAPPED_VIEWS = {"images": 12} | dict.fromkeys(("whole", *background_views.SWAPPED_VIEWS), _VIEW_SCORES)
SHORTCUTS = {
    "chance": 0.25,
    **{"slot": "densenet", "backbone": "DenseNet121", "weights": "imagenet"},
    **{"image_size": 96, "images": 160, "groups": 80},
    "heads": dict.fromkeys(("whole", "frame", "middle", "grey", "tiny"), _VIEW_SCORES),
    "models": dict.fromkeys(MODELS, _SWAPPED_VIEWS),
}
_SUBSET_ACCURACY = {"accuracy": 0.61, "accuracy_std": 0.02, "accuracy_low": 0.5, "accuracy_high": 0.72}
LEARNING_CURVE: dict[str, Any] = {
    "repeats": 3,
    "at_10": {"images": 10} | _SUBSET_ACCURACY,
    "at_100": {"images": 96} | _SUBSET_ACCURACY,
}
_CNN_LAYERS = [
    ("cnn", "Conv2D", 1, 1, 1, "256 × 256 × 32", 896, 896, 56_623_104),
    ("cnn", "ReLU", 1, 1, 0, "256 × 256 × 32", 0, 0, 0),
    ("cnn", "Dense", 1, 1, 1, "128", 33_554_560, 33_554_560, 33_554_432),
]
_BACKBONE_LAYERS = [
    ("Inception-ResNet-A", 10, 220, 0, "35 × 35 × 320", 1_234_080, 0, 1_499_008_000),
    ("From expanded_conv_3_squeeze_excite_conv", 1, 9, 2, "7 × 7 × 576", 9_000, 1_000, 1_000_000),
    ("Dense", 1, 1, 1, "9", 1161, 1161, 1152),
]
ARCHITECTURES = pd.DataFrame(
    [*_CNN_LAYERS, *[(model, *layer) for model in ("irv2", "densenet") for layer in _BACKBONE_LAYERS]],
    columns=["model", *architecture.COLUMNS],
)


@functools.cache
def build_predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    paths = [f"{CLASSES[label]}/{number:03}.jpg" for number, label in enumerate(labels)]
    splits_of_rows = np.repeat(["train", "val", "test"], [96, 24, 40])
    splits = pd.DataFrame(
        {"path": paths, "label": np.array(CLASSES)[labels], "split": splits_of_rows, "group": np.arange(160) // 2}
    )
    tables = []
    for model, accuracy in zip(MODELS, (0.4, 0.8, 0.9), strict=True):
        predicted_classes = np.where(rng.random(160) < accuracy, labels, rng.integers(0, 4, 160))
        tables.append(prediction_table.build_rows(splits, model, np.eye(4)[predicted_classes] * 0.6 + 0.1, CLASSES))
    return pd.concat(tables, ignore_index=True)


@functools.cache
def build_external_sets() -> dict[str, Any]:
    """An external set with two classes of the models, all of the second predicted wrongly, and one other class."""
    labels = [CLASSES[0]] * 40 + [CLASSES[2]] * 40 + ["<i>g|ass</i>"] * 5
    outside = external.compute_metrics(labels, np.tile([0.7, 0.1, 0.1, 0.1], (85, 1)), CLASSES, np.arange(85))
    in_domain = external.score_predictions(np.zeros(20, int), np.tile([0.9, 0.1, 0.0, 0.0], (20, 1)), np.arange(20))
    with_in_domain = {"home": in_domain, "outside": outside, "change": intervals.accuracy_change(in_domain, outside)}
    without_in_domain = {"home": {"images": 0}, "outside": outside, "change": {}}
    facts = {"source": "t <n>", "images": 85, "rejected": 3, "sha256": "0" * 64}
    return {"t <n>": facts | {"models": {"cnn": with_in_domain, "irv2": without_in_domain, "densenet": with_in_domain}}}


def build_history(epochs: int) -> pd.DataFrame:
    steps = np.arange(1, epochs + 1)
    falling = 2 / steps
    return pd.DataFrame(
        {"epoch": steps, "loss": falling, "accuracy": 1 - falling / 3, "val_loss": falling + 0.5, "val_accuracy": 0.5}
    )


@functools.cache
def build_metrics() -> tuple[dict[str, Any], pd.DataFrame]:
    """The metrics of each model, and the reliability table of all models."""
    cost = {"parameters": 33_583_177, "trainable_parameters": 10, "file_mb": 1.5, "latency_ms": 2.5}
    cost |= {"multiply_adds": 392_176_192, "layers": 12, "trained_layers": 7, "onnx_mb": 134.4}
    metrics, reliability = {}, []
    for model, rows in build_predictions().query("split == 'test'").groupby("model", sort=False):
        labels, raw = prediction_table.labels_of(rows), prediction_table.probabilities_of(rows)
        calibrated = apply_temperature(raw, 1.5)
        scores = classification.compute_test_metrics(labels, raw, CLASSES, rows["group"].to_numpy())
        metrics[str(model)] = scores | calibration.compute_metrics(labels, raw, calibrated, 1.5) | cost
        for kind, probabilities in (("as they are", raw), ("calibrated", calibrated)):
            table = calibration.reliability_table(labels, probabilities)
            reliability.append(table.assign(model=model, probabilities=kind))
    metrics["irv2"] |= {"learning_curve": LEARNING_CURVE}
    metrics["irv2"] |= {"repeats": {"runs": 3, "test_accuracy_mean": 0.81234, "test_accuracy_std": 0.01}}
    metrics["densenet"] |= {"learning_curve": LEARNING_CURVE}
    return metrics, pd.concat(reliability)


@functools.cache
def _compare_pairs() -> dict[str, Any]:
    return comparison.compare_pairs(build_predictions())


def build_trainings(weights: str, *, diverged: bool = False) -> dict[str, Any]:
    facts = {"diverged": False, "epochs": 12, "kept_epoch": 12, "seconds": 3.2, "val_accuracy": 0.5, "val_loss": 0.7}
    cnn = {"backbone": "CNN", "weights": "trained from random"} | facts
    if diverged:
        cnn |= {"diverged": True, "diverged_epoch": 2, "epochs": 2}
        del cnn["val_loss"], cnn["val_accuracy"]
    irv2 = {"backbone": "InceptionResNetV2", "weights": weights, "preprocessing": "tf"} | facts
    return {
        "cnn": cnn,
        "irv2": irv2,
        "densenet": {"backbone": "DenseNet121", "weights": "imagenet", "preprocessing": "torch"} | facts,
    }


def _build_explanations(weights: str, *, full: bool) -> dict[str, Any]:
    mistake = {"path": "x/1.jpg", "label": CLASSES[1], "predicted": CLASSES[2], "probability": 0.934}
    mistake |= {"label_probability": 0.02, "picture": "p.webp", "overlay": "p.webp"}
    suspect = mistake | {"suggested": CLASSES[0], "suggested_probability": 0.9}
    names = [f"Class {number}" for number in range(9)] * 4 if full else CLASSES
    counts = {"cnn": 3, "irv2": 0, "densenet": 1}
    if weights == "random":
        del counts["irv2"]
    return {
        "examples": [{"path": "y", "label": name, "picture": "p.webp"} for name in names],
        "suspects": [suspect] * (16 if full else 1),
        "mistakes": {model: [mistake] * (8 if full else count) for model, count in counts.items()},
    }


def _build_records(dataset: str, origin: str, rejected: int) -> dict[str, Any]:
    """The metrics of the stages fetch, validate_images and split, and the machines of three stages."""
    published = {"realwaste": "complete", "realwaste-part": "part (160 of 4,752)"}.get(origin, "other")
    fetched = {"dataset": dataset, "origin": origin, "source": "here", "images": 160, "classes": 4}
    counts = {"images": 160, "classes": dict.fromkeys(CLASSES, 40), "rejected": rejected, "duplicates": 1}
    sizes = {"width": {"min": 300, "max": 524}, "height": {"min": 200, "max": 524}, "same_size": False}
    groups = {"strategy": "grouped", "groups": 12, "largest_group": 9, "largest_share_of_a_class": 0.045}
    order = {"order": "text", "chosen_by": "likeness of neighbours", "p": 0.0002}
    exposure = {"exact_duplicates": 1, "near_duplicates": 2, "neighbour_within_1": 0.3, "neighbour_within_2": 0.4}
    parts = {"train": 96, "val": 24, "test": 40, "classes": {"test": dict.fromkeys(CLASSES, 10)}}
    return {
        "fetched": fetched | {"published": published, "differing": ""},
        "validated": counts | sizes | {"megabytes": 12.5},
        "split": groups | {"shooting_order": order, "exposure": exposure} | parts,
        "machines": {
            "train_cnn": machine.record("float32", gpus=["NVIDIA <H100>"]),
            "finetune_irv2": machine.record("float32"),
            "evaluate": machine.record("float32"),
        },
    }


def _build_sweep() -> dict[str, Any]:
    table = pd.concat([build_history(3).assign(learning_rate=rate, diverged=False) for rate in (0.001, 0.1)])
    table.loc[table["learning_rate"] == 0.1, ["val_loss", "diverged"]] = [np.nan, True]
    rates = {"0_001": {"diverged": False}, "0_1": {"diverged": True, "diverged_epoch": 3}}
    best = {"best_learning_rate": 0.001, "best_val_loss": 0.9, "best_epoch": 2, "rule": "the lowest"}
    return {"sweep": best | {"rates": rates}, "sweep_table": table}


def build_data(
    pictures: Path,
    dataset: str = "RealWaste",
    origin: str = "realwaste",
    weights: str = "imagenet",
    *,
    diverged: bool = False,
    rejected: int = 0,
    external: bool = False,
    curves: bool = True,
    full: bool = False,
) -> ReportData:
    """The data of a run with a few pictures, or with full=True with as many as a default run has."""
    predicted, (evaluated, reliability) = build_predictions(), build_metrics()
    external_sets = build_external_sets() if external else {}
    trainings, tested = build_trainings(weights, diverged=diverged), predicted[predicted["split"] == "test"]
    counts = predicted[predicted["model"] == "cnn"].groupby(["split", "label"]).size()
    return ReportData(
        **_build_records(dataset, origin, rejected),
        **_build_sweep(),
        trainings=trainings,
        embeddings={name: trainings[name] | EMBEDDING_FACTS for name in MODELS[1:]},
        evaluated=evaluated,
        external=external_sets,
        rows=table1.build_rows(evaluated, trainings, SECONDS, predicted, origin, external_sets=external_sets),
        pairs=_compare_pairs(),
        rejected=pd.DataFrame({"path": [f"a/{n}.jpg" for n in range(rejected)], "reason": "truncated JPEG"}),
        histories={model: build_history(2 if diverged and model == "cnn" else 12) for model in MODELS},
        split_counts=counts.rename("images").reset_index(),
        tested=tested,
        confusions=prediction_table.count_confusions(tested),
        reliability=reliability,
        architectures=pd.concat([ARCHITECTURES] * (4 if full else 1)),
        learning_curve=learning_curve.curve_table(dict.fromkeys(MODELS[1:], LEARNING_CURVE) if curves else {}),
        shortcuts=SHORTCUTS,
        suspects={"models": 2, "images": 160, "doubted_by_all": 7, "backbones": "irv2, densenet"},
        explanations=_build_explanations(weights, full=full),
        pictures=pictures,
    )
