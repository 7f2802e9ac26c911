"""The models of a run: their names and their files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

BACKBONES = ("irv2", "densenet", "edge")
MODELS = ("cnn", *BACKBONES)
FOLDER, SUFFIX = Path("models"), ".keras"
METRICS_SUFFIX = "_metrics.json"
"""The end of the name of the file with the metrics of a model, beside the model, that `realwaste train` writes."""
RANDOM = "random"
"""In records and metrics, the initial weights of a backbone that is not pretrained."""


def model_path(name: str) -> Path:
    """The path of a saved model, relative to the checkout."""
    return FOLDER / f"{name}{SUFFIX}"


def display_name(model: str, backbone: str) -> str:
    """A model's name for readers: its slot with the backbone in it, as "irv2 (EfficientNetLite2)"; else `backbone`."""
    return f"{model} ({backbone.removesuffix(SUFFIX)})" if model in BACKBONES else backbone


def prefer_pretrained(weights: Mapping[str, str]) -> list[str]:
    """The models whose initial weights are not RANDOM, in their order; all models if there is none."""
    return [model for model, initial in weights.items() if initial != RANDOM] or list(weights)


def best_by_validation(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The model with the highest `val_accuracy`; one with RANDOM `weights` only if there is no other.

    The test accuracy is not used: a choice by it would make the test optimistic.
    """
    preferred = prefer_pretrained({model: str(row.get("weights")) for model, row in rows.items()})
    return max(preferred, key=lambda model: float(rows[model]["val_accuracy"]))
