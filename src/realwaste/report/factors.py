"""The nine factors of the report's Table 1 (section 2.7): what it says of each, and the figures that bear on it."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import pandas as pd

from realwaste.report.architecture_diagram import format_count
from realwaste.report.figures import REPORT

Row = Mapping[str, Any]
Figures = dict[str, Callable[[Row], str]]
EXPORTS = {"onnx_mb": "as ONNX", "litert_mb": "as LiteRT", "saved_model_mb": "as SavedModel"}
_ABSENT = "–"


def external_keys(names: Iterable[str]) -> dict[str, str]:
    """What the figures of each set of photographs from elsewhere begin with in a row; no two sets share it."""
    keys: dict[str, str] = {}
    for name in names:
        cleaned = "outside_" + re.sub(r"\W+", "_", name).strip("_")
        candidates = chain([cleaned], (f"{cleaned}_{number}" for number in count(2)))
        keys[name] = next(key for key in candidates if key not in keys.values())
    return keys


@dataclass(frozen=True)
class Factor:
    """A row of the report's table.

    Attributes:
        custom, pretrained: what it says of the CNN and of the pretrained models, in its words.
        figures: of the run, by name: a model's row as of table1.build_rows to a cell.
    """

    name: str
    custom: str
    pretrained: str
    figures: Figures

    def of(self, model: str) -> str:
        """What the report says of a model; it had no soft vote."""
        return {"cnn": self.custom, "ensemble": _ABSENT}.get(model, self.pretrained)


def build_factors(rows: Mapping[str, Row], outside: Mapping[str, Any] | None = None) -> list[Factor]:
    """The report's nine, with the figures that this run has.

    Args:
        rows: of table1.build_rows; outside: as there.
    """
    keys = {key: None for row in rows.values() for key in row}
    figures = _figures(keys, list(outside or {}))
    return [Factor(name, *said, figures[name]) for name, said in REPORT_CLAIMS.items()]


def format_table1(
    rows: Mapping[str, Row], named: Mapping[str, str], outside: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Table 1 as people read it, all text: a column a model, for each factor a row REPORT, and one for each figure.

    Args:
        rows: of table1.build_rows; named: the models as shown; outside: as there.
    """
    told: dict[tuple[str, str], list[str]] = {}
    for factor in build_factors(rows, outside):
        told[factor.name, REPORT] = [factor.of(model) for model in rows]
        told |= {(factor.name, figure): [cell(row) for row in rows.values()] for figure, cell in factor.figures.items()}
    index = pd.MultiIndex.from_tuples(list(told), names=["factor", "figure"])
    return pd.DataFrame(list(told.values()), index=index, columns=[named[model] for model in rows])


def _figures(keys: Mapping[str, None], outside: list[str]) -> dict[str, Figures]:
    reported = {"the report's accuracy": _number("reported_test_accuracy")}
    curve = [key.removeprefix("images_") for key in keys if key.startswith("images_at_")]
    exported = {title: _number(key, "{:.1f} MB") for key, title in EXPORTS.items() if key in keys}
    return {
        "Performance": {"macro F1": _ranged("macro_f1"), "test loss": _number("test_loss")},
        "Training Time": {"training, with vectors": _number("training_seconds", "{:.0f} s")},
        "Computational Resources": {
            "parameters": _number("parameters", "{:.2f} M", 1e6),
            "of them trained": _number("trainable_parameters", "{:.2f} M", 1e6),
            "multiply-adds an image": lambda row: (
                format_count(row["multiply_adds"]) if "multiply_adds" in row else _ABSENT
            ),
        },
        "Flexibility": {"layers that learned": _layers, "weights it began with": lambda row: str(row["weights"])},
        "Overfitting/Underfitting": {
            "train accuracy": _number("train_accuracy"),
            "less validation accuracy": _number("train_val_gap", "{:+.3f}"),
            "calibration error": _calibration,
        },
        "Generalization": _generalization(outside),
        "Accuracy": {
            "test accuracy": _ranged("test_accuracy"),
            **(reported if "reported_test_accuracy" in keys else {}),
        },
        "Deployment": {
            "file size": _number("file_mb", "{:.1f} MB"),
            **exported,
            "one image": _number("latency_ms", "{:.0f} ms"),
        },
        "Data Dependency": {f"test accuracy, {_percent(at)} % learned": _on_part(at) for at in curve}
        or {"test accuracy by images learned": lambda _: "not measured"},
    }


def _generalization(outside: list[str]) -> Figures:
    elsewhere = {f"accuracy on {name}": _ranged(f"{key}_accuracy") for name, key in external_keys(outside).items()}
    return {
        "train-test gap": _ranged("train_test_gap", "{:+.3f}"),
        "on other splits, ± deviation": lambda row: (
            "{:.3f} ± {:.3f}".format(row["other_splits_accuracy"], row["other_splits_accuracy_std"])
            if "other_splits_accuracy" in row
            else _ABSENT
        ),
        **(elsewhere or {"on photographs from elsewhere": lambda _: "not measured"}),
    }


def _layers(row: Row) -> str:
    return f"{row['trained_layers']:.0f} of {row['layers']:.0f}" if "layers" in row else _ABSENT


def _calibration(row: Row) -> str:
    before, after = row["ece"], row["ece_calibrated"]
    return f"{before:.3f}" if before == after else f"{before:.3f}, then {after:.3f}"


def _percent(at: str) -> str:
    return at.removeprefix("at_").replace("_", ".")


def _number(key: str, shown: str = "{:.3f}", unit: float = 1.0) -> Callable[[Row], str]:
    return lambda row: shown.format(row[key] / unit) if key in row else _ABSENT


def _ranged(key: str, shown: str = "{:.3f}") -> Callable[[Row], str]:
    """With its 95 % interval."""
    whole = f"{shown} ({shown} to {shown})"
    return lambda row: whole.format(*(row[f"{key}{end}"] for end in ("", "_low", "_high"))) if key in row else _ABSENT


def _on_part(at: str) -> Callable[[Row], str]:
    told = _ranged(f"accuracy_{at}")
    return lambda row: f"{told(row)}, {row[f'images_{at}']} images" if f"images_{at}" in row else _ABSENT


# Factor: what the report says of its own model, and of pretrained ones.
REPORT_CLAIMS = {
    "Performance": (
        "Can be optimized for specific tasks and datasets, but may not perform as well as pre-trained models for "
        "complex tasks.",
        "Can achieve superior results with fine-tuning, especially when datasets are similar.",
    ),
    "Training Time": (
        "Requires significant time and computational resources to train from scratch. Longer development cycle.",
        "Significantly reduced training time since the model already contains learned features. Fine-tuning may still "
        "take time.",
    ),
    "Computational Resources": (
        "Custom models can be designed to be more resource-efficient, making them suitable for constrained "
        "environments. Requires more resources for training.",
        "Pretrained models are generally larger and more computationally expensive during fine-tuning.",
    ),
    "Flexibility": (
        "Highly flexible in terms of design and architecture.",
        "Limited flexibility; the architecture is already defined. Modifications usually involve fine-tuning or minor "
        "adjustments.",
    ),
    "Overfitting/Underfitting": (
        "More prone to overfitting or underfitting, especially if there is insufficient data or poor model design.",
        "Less prone to overfitting/underfitting after fine-tuning, especially when using large datasets.",
    ),
    "Generalization": (
        "Can struggle to generalize well if not trained properly or if the dataset is too complex.",
        "Pretrained models generalize better across tasks.",
    ),
    "Accuracy": (
        "Custom models may achieve lower accuracy initially, particularly on complex tasks.",
        "Pretrained models tend to have higher accuracy on general tasks and perform better with less training data.",
    ),
    "Deployment": (
        "Custom models can be optimized for deployment in resource-constrained environments.",
        "Pretrained models are usually larger and more resource-hungry, which can make deployment challenging in "
        "constrained environments.",
    ),
    "Data Dependency": (
        "Requires sufficient high-quality data to train effectively.",
        "Can work well with smaller datasets. Might not perform as well on highly specialized data.",
    ),
}
