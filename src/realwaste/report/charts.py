"""Long, a function for each chart of the report page and of the figures: Vega-Lite specifications without a width."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from realwaste.dataset.labels import PARTS
from realwaste.report.figures import MODEL_COLORS, MOST_CLASSES

Spec = dict[str, Any]
_NEUTRAL_COLOR = "#5b93c4"  # visible on light and on dark backgrounds
_TOP_LEGEND = alt.Legend(orient="top", title=None)
_MODEL_LABELS: dict[str, Any] = {"labelExpr": "split(datum.label, ', ')", "labelLimit": 190}


def image_counts(counts: Mapping[str, int]) -> Spec:
    """Bars: the number of images of each class or part (the report's fig. 1 and 2)."""
    rows = pd.DataFrame({"name": list(counts), "images": list(counts.values())})
    base = alt.Chart(rows).encode(y=_class_axis("name", sort=None), x=_image_axis(), tooltip=["name:N", "images:Q"])
    text = base.mark_text(align="left", dx=4).encode(text="images:Q")
    return _class_bars(base.mark_bar(), text, len(counts))


def split_counts(counts: pd.DataFrame) -> Spec:
    """Stacked bars: the number of images (split, label, images) of each class in each part (the report's fig. 2)."""
    rows = counts.assign(order=counts["split"].map(PARTS.index)).rename(columns={"label": "class", "split": "part"})
    base = alt.Chart(rows).encode(y=_class_axis("class"), order="order:Q", tooltip=["class:N", "part:N", "images:Q"])
    color = alt.Color("part:N", sort=list(PARTS), legend=_TOP_LEGEND)
    bars = base.mark_bar().encode(x=_image_axis(stack="zero"), color=color)
    text = base.mark_text(color="white").encode(
        x=_image_axis(stack="zero", bandPosition=0.5), text="images:Q", detail="part:N"
    )
    return _class_bars(bars, text, rows["class"].nunique())


def curve(history: pd.DataFrame, measure: str, domain: list[float] | None = None) -> Spec:
    """Lines: training and validation loss or accuracy per epoch, without NaN (the report's fig. 3, 9 and 11).

    `domain` is that of the y axis, by default that of the values.
    """
    renamed = history.rename(columns={measure: "train", f"val_{measure}": "validation"})
    rows = renamed.melt("epoch", ["train", "validation"], "part", measure).dropna()
    lines = alt.Chart(rows).mark_line(point=True)
    chart = lines.encode(
        x=_epoch_axis(rows),
        y=alt.Y(f"{measure}:Q", scale=alt.Scale(zero=False, domain=domain or alt.Undefined)),
        color=alt.Color("part:N", legend=_TOP_LEGEND),
        tooltip=["epoch:Q", "part:N", alt.Tooltip(f"{measure}:Q", format=".4f")],
    )
    return _to_spec(chart, height=190)


def learning_rates(sweep_table: pd.DataFrame, measure: str, title: str) -> Spec:
    """Lines: `measure` per epoch for each learning rate, on a log scale because large rates diverge (fig. 6)."""
    rows = sweep_table[["learning_rate", "epoch", measure]].dropna()
    rows = rows[rows[measure] > 0].assign(rate=rows["learning_rate"].map("{:g}".format))
    rate_names = [f"{rate:g}" for rate in sorted(sweep_table["learning_rate"].unique())]
    legend = alt.Legend(orient="top", title="learning rate")
    value = alt.Tooltip(f"{measure}:Q", title=title, format=".4f")
    lines = alt.Chart(rows).mark_line(point=True)
    chart = lines.encode(
        x=_epoch_axis(rows),
        y=alt.Y(f"{measure}:Q", title=title, scale=alt.Scale(type="log"), axis=alt.Axis(gridOpacity=0.4)),
        color=alt.Color("rate:N", sort=rate_names, scale=alt.Scale(scheme="viridis"), legend=legend),
        tooltip=[alt.Tooltip("rate:N", title="learning rate"), "epoch:Q", value],
    )
    return _to_spec(chart, height=230)


def accuracies(rows: pd.DataFrame) -> Spec:
    """Points: the accuracy of each of comparison.model_scores with its 95 % interval (the report's fig. 4, 13, 14)."""
    base = alt.Chart(rows).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(**_MODEL_LABELS)),
        tooltip=["model:N", *_number_tooltips("accuracy", "low", "high")],
    )
    interval = _interval(base, "test accuracy, 95 % interval").encode(color=_model_color(rows))
    point = base.mark_point(filled=True, size=130, opacity=1).encode(x="accuracy:Q", color=_model_color(rows))
    text = base.mark_text(dy=-13, fontWeight="bold").encode(x="accuracy:Q", text=alt.Text("accuracy:Q", format=".3f"))
    return _to_spec(interval + point + text, step=46)


def losses(rows: pd.DataFrame) -> Spec:
    """Bars: the test loss of each of comparison.model_scores (the report's fig. 4, 13 and 14)."""
    base = alt.Chart(rows).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=None),
        x=alt.X("loss:Q", title="test loss (crossentropy)"),
        tooltip=["model:N", *_number_tooltips("loss")],
    )
    text = base.mark_text(align="left", dx=4).encode(text=alt.Text("loss:Q", format=".3f"))
    return _to_spec(base.mark_bar(size=18).encode(color=_model_color(rows)) + text, step=46)


def shortcuts(rows: pd.DataFrame, chance: float) -> Spec:
    """Points: each of background.view_accuracies with its 95 % interval; chance is a dashed line."""
    base = alt.Chart(rows).encode(
        y=alt.Y("sees:N", sort=None, title=None, axis=alt.Axis(labelLimit=170)),
        tooltip=["sees:N", *_number_tooltips("accuracy", "low", "high")],
    )
    interval = _interval(base, "accuracy", color=_NEUTRAL_COLOR)
    point = base.mark_point(filled=True, size=110, opacity=1, color=_NEUTRAL_COLOR).encode(x="accuracy:Q")
    text = base.mark_text(dy=-12).encode(x="accuracy:Q", text=alt.Text("accuracy:Q", format=".2f"))
    chance_rule = alt.Chart(pd.DataFrame({"chance": [chance]})).mark_rule(strokeDash=[4, 4], color="#8a949c")
    chance_rule = chance_rule.encode(x="chance:Q", tooltip=[alt.Tooltip("chance:Q", format=".2f")])
    return _to_spec(chance_rule + interval + point + text, step=36)


def grouped_accuracies(rows: pd.DataFrame) -> Spec:
    """Points: accuracy with its 95 % interval (accuracy, low, high) for each model and series (a test set or a run)."""
    series_names = rows["series"].drop_duplicates().tolist()
    base = alt.Chart(rows).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(**_MODEL_LABELS)),
        yOffset=alt.YOffset("series:N", sort=series_names),
        color=alt.Color("series:N", sort=series_names, legend=_TOP_LEGEND),
        tooltip=["model:N", "series:N", "images:Q", *_number_tooltips("accuracy", "low", "high")],
    )
    point = base.mark_point(filled=True, size=110, opacity=1).encode(x="accuracy:Q")
    return _to_spec(_interval(base, "accuracy, 95 % interval") + point, step=26)


def learning_curve(table: pd.DataFrame, names: Mapping[str, str]) -> Spec:
    """Lines: test accuracy with its 95 % interval against the number of training images, for each model.

    `table` is that of learning_curve.curve_table; `names` are the display names of its models.
    """
    rows = table.assign(model=table["model"].map(names), color=table["model"].map(MODEL_COLORS))
    legend = alt.Legend(orient="top", title=None, columns=1, labelLimit=300)
    axis = alt.Axis(format="d", tickMinStep=1, tickCount=6)
    scale = alt.Scale(zero=False, nice=False, padding=12)
    base = alt.Chart(rows).encode(
        x=alt.X("images:Q", title="training images", scale=scale, axis=axis),
        color=_model_color(rows.drop_duplicates("model"), legend),
        tooltip=["model:N", "images:Q", "percent:Q", *_number_tooltips("accuracy", "accuracy_low", "accuracy_high")],
    )
    y = alt.Y("accuracy:Q", title="test accuracy, 95 % interval", scale=alt.Scale(domain=[0, 1]))
    interval = base.mark_rule(strokeWidth=3, opacity=0.5).encode(y=alt.Y("accuracy_low:Q"), y2="accuracy_high:Q")
    return _to_spec(base.mark_line(point=True).encode(y=y) + interval, height=240)


def class_scores(rows: pd.DataFrame, measure: str = "f1") -> Spec:
    """Heat map: F1, precision or recall of each class and model; the tooltip has all of them (section 1.12).

    `rows` are those of comparison.class_score_table with `name`, the model's display name.
    """
    base = alt.Chart(rows).encode(
        y=alt.Y("label:N", title=None),
        x=alt.X("name:N", sort=None, title=measure, axis=alt.Axis(**_MODEL_LABELS, orient="top", labelAngle=-90)),
        tooltip=[
            alt.Tooltip("name:N", title="model"),
            alt.Tooltip("label:N", title="class"),
            *_number_tooltips("precision", "recall", "f1"),
            alt.Tooltip("support:Q", title="test images"),
        ],
    )
    return _to_spec(_heat_map(base, measure, measure, ".2f"), step=26)


def confusion(counts: pd.DataFrame) -> Spec:
    """Heat map: confusions (actual, predicted, images), coloured by the share of the actual class (report, fig. 5)."""
    class_totals = counts.groupby("actual")["images"].transform("sum").clip(lower=1)
    rows = counts.assign(share=counts["images"] / class_totals)
    base = alt.Chart(rows).encode(
        x=alt.X("predicted:N", axis=alt.Axis(labelAngle=-45, labelLimit=110)),
        y=alt.Y("actual:N", axis=alt.Axis(labelLimit=110)),
        tooltip=["actual:N", "predicted:N", "images:Q", alt.Tooltip("share:Q", format=".0%")],
    )
    return _to_spec(_heat_map(base, "share", "share of the actual class", None), step=26)


def reliability(table: pd.DataFrame) -> Spec:
    """Reliability diagram: accuracy against confidence, before and after calibration (Guo et al., 2017, fig. 1).

    `table` is calibration.reliability_table with `probabilities`: "as they are" or "calibrated".
    """
    diagonal = alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]})).mark_line(strokeDash=[4, 4])
    unit_scale = alt.Scale(domain=[0, 1])
    chart = alt.Chart(table).encode(
        x=alt.X("confidence:Q", scale=unit_scale, title="confidence of the predictions"),
        y=alt.Y("accuracy:Q", scale=unit_scale, title="their accuracy"),
        color=alt.Color("probabilities:N", sort=None, legend=_TOP_LEGEND),
        tooltip=["probabilities:N", *_number_tooltips("confidence", "accuracy"), "images:Q"],
    )
    points = chart.mark_circle(opacity=0.85).encode(size=alt.Size("images:Q", legend=None))
    diagonal = diagonal.encode(x="confidence:Q", y="accuracy:Q", color=alt.value("#8a949c"))
    return _to_spec(diagonal + chart.mark_line(strokeWidth=1, opacity=0.4) + points, height=220)


def _heat_map(base: Any, field: str, title: str, text_format: str | None) -> Any:
    """Cells coloured by `field` from 0 to 1, with its value inside, or without `text_format` the number of images."""
    color = alt.Color(f"{field}:Q", title=title, legend=None, scale=alt.Scale(scheme="blues", domain=[0, 1]))
    text = alt.Text(f"{field}:Q", format=text_format) if text_format else alt.Text("images:Q")
    ink = alt.when(f"datum.{field} > 0.55").then(alt.value("#ffffff")).otherwise(alt.value("#1c2733"))
    return base.mark_rect().encode(color=color) + base.mark_text(fontSize=11).encode(text=text, color=ink)


def _class_axis(field: str, **options: Any) -> Any:
    return alt.Y(f"{field}:N", title=None, axis=alt.Axis(labelOverlap=True), **options)


def _image_axis(**options: Any) -> Any:
    return alt.X("images:Q", axis=alt.Axis(tickMinStep=1, format="d"), **options)


def _class_bars(bars: Any, text: Any, classes: int) -> Spec:
    """Horizontal bars; those of more than MOST_CLASSES classes are thin and have no text."""
    if classes > MOST_CLASSES:
        return _to_spec(bars, step=24 * MOST_CLASSES / classes)
    return _to_spec(bars + text, step=24)


def _epoch_axis(rows: pd.DataFrame) -> Any:
    """An x axis with at most ten ticks at whole epochs; Vega's default has ticks such as 2.5."""
    last_epoch = int(rows["epoch"].max()) if len(rows) else 1
    ticks = list(range(1, last_epoch + 1, -(-last_epoch // 10)))
    return alt.X("epoch:Q", axis=alt.Axis(values=ticks, format="d", grid=False))


def _number_tooltips(*fields: str) -> list[Any]:
    return [alt.Tooltip(f"{field}:Q", format=".3f") for field in fields]


def _interval(base: Any, title: str, **mark: Any) -> Any:
    """A line from the field low to the field high on an x axis from 0 to 1."""
    x = alt.X("low:Q", scale=alt.Scale(domain=[0, 1]), title=title)
    return base.mark_rule(strokeWidth=3, **mark).encode(x=x, x2="high:Q")


def _model_color(rows: pd.DataFrame, legend: Any = None) -> Any:
    """A colour scale from rows with model and color."""
    scale = alt.Scale(domain=rows["model"].tolist(), range=rows["color"].tolist())
    return alt.Color("model:N", scale=scale, legend=legend)


def _to_spec(chart: Any, *, height: int | None = None, step: float | None = None) -> Spec:
    """The specification, as wide as its container and `height` pixels high, or `step` pixels for each bar."""
    size = alt.Step(step) if step is not None else height
    specification: Spec = chart.properties(width="container", height=size).to_dict()
    # The page sets the colours for its light and dark scheme.
    specification.pop("config", None)
    return specification
