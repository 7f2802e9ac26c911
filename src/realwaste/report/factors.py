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
    """The report's nine factors, with the metrics in the rows of table1.build_rows.

    `external_sets` are `sets` of metrics/external.json.
    """
    metrics = _build_metrics({key: None for row in rows.values() for key in row}, external_sets or {})
    return [Factor(name, *claims, metrics[name]) for name, claims in REPORT_CLAIMS.items()]


def has_claims(origin: str) -> bool:
    """Whether Table 1 quotes the report: it is of no interest to somebody with data of their own."""
    return origin in {"realwaste", "realwaste-part", "synthetic"}


def format_table1(
    rows: Mapping[str, Row],
    names: Mapping[str, str],
    external_sets: Mapping[str, Any] | None = None,
    *,
    claims: bool = True,
) -> pd.DataFrame:
    """Table 1 as text: a column for each model, a row for each metric; with `claims` a row REPORT before each factor.

    `rows` and `external_sets` are those of `build_factors`.
    """
    rows_by_index: dict[tuple[str, str], list[str]] = {}
    for factor in build_factors(rows, external_sets):
        if claims:
            rows_by_index[factor.name, REPORT] = [factor.report_claim(model) for model in rows]
        for metric, format_row in factor.metrics.items():
            rows_by_index[factor.name, metric] = [format_row(row) for row in rows.values()]
    index = pd.MultiIndex.from_tuples(list(rows_by_index), names=["factor", "metric"])
    return pd.DataFrame(list(rows_by_index.values()), index=index, columns=[names[model] for model in rows])


def _build_metrics(keys: Mapping[str, None], external_sets: Mapping[str, Any]) -> dict[str, MetricFormatters]:
    reported_accuracy = {"the report's accuracy": _fill("{reported_test_accuracy:.3f}")}
    export_sizes = {title: _fill(f"{{{key}:.1f}} MB") for key, title in EXPORTS.items() if key in keys}
    return {
        "Performance": {"macro F1": _fill(_with_interval("macro_f1")), "test loss": _fill("{test_loss:.3f}")},
        "Training Time": {"training, with embedding": _fill("{training_seconds:.0f} s")},
        "Computational Resources": {
            "parameters": _format_millions("parameters"),
            "trained parameters": _format_millions("trainable_parameters"),
            "multiply-adds an image": _format_multiply_adds,
        },
        "Flexibility": {
            "trained layers": _fill("{trained_layers:.0f} of {layers:.0f}"),
            "initial weights": _fill("{weights}"),
        },
        "Overfitting/Underfitting": {
            "train accuracy": _fill("{train_accuracy:.3f}"),
            "minus validation accuracy": _fill("{train_val_gap:+.3f}"),
            "calibration error": _format_calibration,
        },
        "Generalization": {
            "train-test gap": _fill(_with_interval("train_test_gap", "+.3f")),
            "on other splits, ± deviation": _fill("{other_splits_accuracy:.3f} ± {other_splits_accuracy_std:.3f}"),
            **(_external_metrics(external_sets) or {"on external test sets": _fill("not measured")}),
        },
        "Accuracy": {
            "test accuracy": _fill(_with_interval("test_accuracy")),
            **(reported_accuracy if "reported_test_accuracy" in keys else {}),
        },
        "Deployment": {
            "file size": _fill("{file_mb:.1f} MB"),
            **export_sizes,
            "one image": _fill("{latency_ms:.0f} ms"),
        },
        "Data Dependency": _learning_curve_metrics(keys) or {"test accuracy by images": _fill("not measured")},
    }


def _external_metrics(external_sets: Mapping[str, Any]) -> MetricFormatters:
    keys = external_keys(external_sets)
    return {f"accuracy on {name}": _fill(_with_interval(f"{key}_accuracy")) for name, key in keys.items()}


def _learning_curve_metrics(keys: Mapping[str, None]) -> MetricFormatters:
    metrics = {}
    for point in [key.removeprefix("images_at_") for key in keys if key.startswith("images_at_")]:
        template = f"{_with_interval(f'accuracy_at_{point}')}, {{images_at_{point}}} images"
        metrics[f"test accuracy, {point.replace('_', '.')} % of images"] = _fill(template)
    return metrics


def _fill(template: str) -> Callable[[Row], str]:
    """A function that fills the template with the values of a row; _ABSENT if the row lacks one of them."""

    def format_row(row: Row) -> str:
        try:
            return template.format_map(row)
        except KeyError:
            return _ABSENT

    return format_row


def _with_interval(key: str, number: str = ".3f") -> str:
    """A template of a metric with its 95 % interval."""
    return f"{{{key}:{number}}} ({{{key}_low:{number}}} to {{{key}_high:{number}}})"


def _format_millions(key: str) -> Callable[[Row], str]:
    return lambda row: f"{row[key] / 1e6:.2f} M" if key in row else _ABSENT


def _format_multiply_adds(row: Row) -> str:
    return format_count(row["multiply_adds"]) if "multiply_adds" in row else _ABSENT


def _format_calibration(row: Row) -> str:
    before, after = row["ece"], row["ece_calibrated"]
    return f"{before:.3f}" if before == after else f"{before:.3f}, then {after:.3f}"


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
