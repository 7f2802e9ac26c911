"""The nine factors of the report's Table 1 (section 2.7): the report's claims, and the metrics that belong to each."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import pandas as pd

from realwaste.report.architecture_diagram import format_count
from realwaste.report.figures import REPORT

Row = Mapping[str, Any]
MetricFormatters = dict[str, Callable[[Row], str]]
EXPORTS = {"onnx_mb": "as ONNX", "litert_mb": "as LiteRT", "saved_model_mb": "as SavedModel"}
_ABSENT = "–"


def external_keys(names: Iterable[str]) -> dict[str, str]:
    """A unique prefix for each external set's metrics in a row of Table 1; a number tells equal prefixes apart."""
    keys: dict[str, str] = {}
    for name in names:
        key = "outside_" + re.sub(r"\W+", "_", name).strip("_")
        candidates = chain([key], (f"{key}_{number}" for number in count(2)))
        keys[name] = next(key for key in candidates if key not in keys.values())
    return keys


@dataclass(frozen=True)
class Factor:
    """A row of the report's table.

    Attributes:
        custom, pretrained: the report's claims about the CNN and about pretrained models.
        metrics: by name, functions that format a model's row of table1.build_rows as a cell.
    """

    name: str
    custom: str
    pretrained: str
    metrics: MetricFormatters

    def report_claim(self, model: str) -> str:
        """The report's claim about a model; it has none about the soft vote."""
        return {"cnn": self.custom, "ensemble": _ABSENT}.get(model, self.pretrained)


def build_factors(rows: Mapping[str, Row], external_sets: Mapping[str, Any] | None = None) -> list[Factor]:
    """The report's nine factors with the metrics of this run.

    Args:
        rows: from table1.build_rows.
        external_sets: `sets` of metrics/external.json.
    """
    keys = {key: None for row in rows.values() for key in row}
    metrics = _build_metrics(keys, list(external_sets or {}))
    return [Factor(name, *claims, metrics[name]) for name, claims in REPORT_CLAIMS.items()]


def has_claims(origin: str) -> bool:
    """Whether Table 1 quotes the report: it is of no interest to somebody with data of their own.

    Args:
        origin: of the data set, from metrics/fetch.json.
    """
    return origin in {"realwaste", "realwaste-part", "synthetic"}


def format_table1(
    rows: Mapping[str, Row],
    names: Mapping[str, str],
    external_sets: Mapping[str, Any] | None = None,
    *,
    claims: bool = True,
) -> pd.DataFrame:
    """Table 1 as text: a column for each model; for each factor a row REPORT with the claim, and a row for each metric.

    Args:
        rows: from table1.build_rows.
        names: display name of each model.
        external_sets: `sets` of metrics/external.json.
        claims: whether there are rows REPORT.
    """
    rows_by_index: dict[tuple[str, str], list[str]] = {}
    for factor in build_factors(rows, external_sets):
        if claims:
            rows_by_index[factor.name, REPORT] = [factor.report_claim(model) for model in rows]
        rows_by_index |= {
            (factor.name, figure): [cell(row) for row in rows.values()] for figure, cell in factor.metrics.items()
        }
    index = pd.MultiIndex.from_tuples(list(rows_by_index), names=["factor", "metric"])
    return pd.DataFrame(list(rows_by_index.values()), index=index, columns=[names[model] for model in rows])


def _build_metrics(keys: Mapping[str, None], external_sets: list[str]) -> dict[str, MetricFormatters]:
    reported_accuracy = {"the report's accuracy": _format_number("reported_test_accuracy")}
    curve_points = [key.removeprefix("images_") for key in keys if key.startswith("images_at_")]
    export_sizes = {title: _format_number(key, "{:.1f} MB") for key, title in EXPORTS.items() if key in keys}
    return {
        "Performance": {"macro F1": _format_with_interval("macro_f1"), "test loss": _format_number("test_loss")},
        "Training Time": {"training, with embedding": _format_number("training_seconds", "{:.0f} s")},
        "Computational Resources": {
            "parameters": _format_number("parameters", "{:.2f} M", 1e6),
            "trained parameters": _format_number("trainable_parameters", "{:.2f} M", 1e6),
            "multiply-adds an image": lambda row: (
                format_count(row["multiply_adds"]) if "multiply_adds" in row else _ABSENT
            ),
        },
        "Flexibility": {
            "trained layers": _format_layers,
            "initial weights": lambda row: str(row["weights"]),
        },
        "Overfitting/Underfitting": {
            "train accuracy": _format_number("train_accuracy"),
            "minus validation accuracy": _format_number("train_val_gap", "{:+.3f}"),
            "calibration error": _format_calibration,
        },
        "Generalization": _generalization_metrics(external_sets),
        "Accuracy": {
            "test accuracy": _format_with_interval("test_accuracy"),
            **(reported_accuracy if "reported_test_accuracy" in keys else {}),
        },
        "Deployment": {
            "file size": _format_number("file_mb", "{:.1f} MB"),
            **export_sizes,
            "one image": _format_number("latency_ms", "{:.0f} ms"),
        },
        "Data Dependency": {
            f"test accuracy, {_point_percent(point)} % of images": _format_curve_point(point) for point in curve_points
        }
        or {"test accuracy by images": lambda _: "not measured"},
    }


def _generalization_metrics(external_sets: list[str]) -> MetricFormatters:
    external_metrics = {
        f"accuracy on {name}": _format_with_interval(f"{key}_accuracy")
        for name, key in external_keys(external_sets).items()
    }
    return {
        "train-test gap": _format_with_interval("train_test_gap", "{:+.3f}"),
        "on other splits, ± deviation": lambda row: (
            "{:.3f} ± {:.3f}".format(row["other_splits_accuracy"], row["other_splits_accuracy_std"])
            if "other_splits_accuracy" in row
            else _ABSENT
        ),
        **(external_metrics or {"on external test sets": lambda _: "not measured"}),
    }


def _format_layers(row: Row) -> str:
    return f"{row['trained_layers']:.0f} of {row['layers']:.0f}" if "layers" in row else _ABSENT


def _format_calibration(row: Row) -> str:
    before, after = row["ece"], row["ece_calibrated"]
    return f"{before:.3f}" if before == after else f"{before:.3f}, then {after:.3f}"


def _point_percent(point: str) -> str:
    return point.removeprefix("at_").replace("_", ".")


def _format_number(key: str, template: str = "{:.3f}", unit: float = 1.0) -> Callable[[Row], str]:
    return lambda row: template.format(row[key] / unit) if key in row else _ABSENT


def _format_with_interval(key: str, template: str = "{:.3f}") -> Callable[[Row], str]:
    """A number with its 95 % interval."""
    with_interval = f"{template} ({template} to {template})"
    return lambda row: (
        with_interval.format(*(row[f"{key}{end}"] for end in ("", "_low", "_high"))) if key in row else _ABSENT
    )


def _format_curve_point(point: str) -> Callable[[Row], str]:
    format_accuracy = _format_with_interval(f"accuracy_{point}")
    return lambda row: (
        f"{format_accuracy(row)}, {row[f'images_{point}']} images" if f"images_{point}" in row else _ABSENT
    )


# For each factor the report's claims about its own model and about pretrained models, quoted.
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
