"""The report's charts as Vega-Lite, to hover over: each a single view that fills the width it is given."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from realwaste.dataset.labels import PARTS

Spec = dict[str, Any]
_PLAIN = "#5b93c4"  # to be seen on light and on dark


def class_counts(counts: Mapping[str, int]) -> Spec:
    """Bars: the number of images of each class."""
    rows = pd.DataFrame({"class": list(counts), "images": list(counts.values())})
    base = alt.Chart(rows).encode(
        y=alt.Y("class:N", sort=None, title=None), x=alt.X("images:Q"), tooltip=["class:N", "images:Q"]
    )
    return spec(base.mark_bar() + base.mark_text(align="left", dx=4).encode(text="images:Q"), step=24)


def split_counts(counts: pd.DataFrame) -> Spec:
    """Images a class and part, stacked.

    Args:
        counts: split, label, images.
    """
    rows = counts.rename(columns={"label": "class", "split": "part"})
    rows["order"] = rows["part"].map(PARTS.index)
    chart = (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            y=alt.Y("class:N", title=None),
            x=alt.X("images:Q", stack="zero"),
            color=alt.Color("part:N", sort=list(PARTS), legend=alt.Legend(orient="top", title=None)),
            order="order:Q",
            tooltip=["class:N", "part:N", "images:Q"],
        )
    )
    return spec(chart, step=24)


def curve(history: pd.DataFrame, measure: str, domain: list[float] | None = None) -> Spec:
    """Train and validation `measure` (loss or accuracy) an epoch, within `domain`; what diverged is left out."""
    named = history.rename(columns={measure: "train", f"val_{measure}": "validation"})
    rows = named.melt("epoch", ["train", "validation"], "images", measure).dropna()
    chart = (
        alt.Chart(rows)
        .mark_line(point=True)
        .encode(
            x=_epochs(rows),
            y=alt.Y(f"{measure}:Q", scale=alt.Scale(zero=False, domain=domain or alt.Undefined)),
            color=alt.Color("images:N", legend=alt.Legend(orient="top", title=None)),
            tooltip=["epoch:Q", "images:N", alt.Tooltip(f"{measure}:Q", format=".4f")],
        )
    )
    return spec(chart, height=190)


def learning_rates(table: pd.DataFrame, measure: str, title: str) -> Spec:
    """`measure` an epoch for each learning rate, on a log scale, since large rates explode."""
    rows = table[["learning_rate", "epoch", measure]].dropna()
    rows = rows[rows[measure] > 0].assign(rate=rows["learning_rate"].map("{:g}".format))
    order = [f"{rate:g}" for rate in sorted(table["learning_rate"].unique())]
    chart = (
        alt.Chart(rows)
        .mark_line(point=True)
        .encode(
            x=_epochs(rows),
            y=alt.Y(f"{measure}:Q", title=title, scale=alt.Scale(type="log"), axis=alt.Axis(gridOpacity=0.4)),
            color=alt.Color(
                "rate:N",
                sort=order,
                scale=alt.Scale(scheme="viridis"),
                legend=alt.Legend(orient="top", title="learning rate"),
            ),
            tooltip=[
                alt.Tooltip("rate:N", title="learning rate"),
                "epoch:Q",
                alt.Tooltip(f"{measure}:Q", title=title, format=".4f"),
            ],
        )
    )
    return spec(chart, height=230)


def accuracies(rows: pd.DataFrame) -> Spec:
    """Test accuracy a model with its 95 % interval.

    Args:
        rows: model (as shown), accuracy, low, high, images.
    """
    base = alt.Chart(rows).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelExpr="split(datum.label, ', ')", labelLimit=170)),
        tooltip=["model:N", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("accuracy", "low", "high"))],
    )
    domain = alt.Scale(domain=[0, 1])
    interval = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", scale=domain, title="test accuracy, 95 % interval"), x2="high:Q", color=by_model(rows)
    )
    point = base.mark_point(filled=True, size=130, opacity=1).encode(x="accuracy:Q", color=by_model(rows))
    text = base.mark_text(dy=-13, fontWeight="bold").encode(x="accuracy:Q", text=alt.Text("accuracy:Q", format=".3f"))
    return spec(interval + point + text, step=46)


def shortcuts(rows: pd.DataFrame, chance: float) -> Spec:
    """Accuracy of a head that sees a part of each picture, with its 95 % interval; chance as a dashed line.

    Args:
        rows: sees, accuracy, low, high.
    """
    domain = alt.Scale(domain=[0, 1])
    base = alt.Chart(rows).encode(
        y=alt.Y("sees:N", sort=None, title=None, axis=alt.Axis(labelLimit=170)),
        tooltip=["sees:N", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("accuracy", "low", "high"))],
    )
    interval = base.mark_rule(strokeWidth=3, color=_PLAIN).encode(
        x=alt.X("low:Q", scale=domain, title="accuracy"), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=110, opacity=1, color=_PLAIN).encode(x="accuracy:Q")
    text = base.mark_text(dy=-12).encode(x="accuracy:Q", text=alt.Text("accuracy:Q", format=".2f"))
    line = alt.Chart(pd.DataFrame({"chance": [chance]})).mark_rule(strokeDash=[4, 4], color="#8a949c")
    return spec(
        line.encode(x="chance:Q", tooltip=[alt.Tooltip("chance:Q", format=".2f")]) + interval + point + text, step=36
    )


def grouped_accuracies(rows: pd.DataFrame) -> Spec:
    """Accuracy with its 95 % interval, a line for each model and place.

    Args:
        rows: model (as shown), place, images, accuracy, low, high.
    """
    places = rows["place"].drop_duplicates().tolist()
    base = alt.Chart(rows).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelExpr="split(datum.label, ', ')", labelLimit=170)),
        yOffset=alt.YOffset("place:N", sort=places),
        color=alt.Color("place:N", sort=places, legend=alt.Legend(orient="top", title=None)),
        tooltip=["model:N", "place:N", "images:Q"]
        + [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("accuracy", "low", "high")],
    )
    domain = alt.Scale(domain=[0, 1])
    interval = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", scale=domain, title="accuracy, 95 % interval"), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=110, opacity=1).encode(x="accuracy:Q")
    return spec(interval + point, step=26)


def class_scores(rows: pd.DataFrame) -> Spec:
    """F1 a class and model, coloured; precision, recall and the number of images to hover for.

    Args:
        rows: model, name (as shown), label, precision, recall, f1, support.
    """
    base = alt.Chart(rows).encode(
        y=alt.Y("label:N", title=None),
        x=alt.X("model:N", sort=None, title=None, axis=alt.Axis(orient="top", labelAngle=0)),
        tooltip=[
            alt.Tooltip("name:N", title="model"),
            alt.Tooltip("label:N", title="class"),
            *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("precision", "recall", "f1")),
            alt.Tooltip("support:Q", title="test images"),
        ],
    )
    return spec(_heat(base, "f1", "F1", ".2f"), step=26)


def confusion(counts: pd.DataFrame) -> Spec:
    """Counts of actual against predicted test images, coloured by the share of the actual class.

    Args:
        counts: actual, predicted, images: every pair of classes.
    """
    whole = counts.groupby("actual")["images"].transform("sum").clip(lower=1)
    rows = counts.assign(share=counts["images"] / whole)
    base = alt.Chart(rows).encode(
        x=alt.X("predicted:N", axis=alt.Axis(labelAngle=-45, labelLimit=90)),
        y=alt.Y("actual:N", axis=alt.Axis(labelLimit=90)),
        tooltip=["actual:N", "predicted:N", "images:Q", alt.Tooltip("share:Q", format=".0%")],
    )
    return spec(_heat(base, "share", "share of the actual class", None), step=26)


def reliability(table: pd.DataFrame) -> Spec:
    """Accuracy of the answers of each confidence, before and after calibration; on the diagonal all is as it says.

    Args:
        table: probabilities (as they are, calibrated), confidence, accuracy, images.
    """
    line = alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]})).mark_line(strokeDash=[4, 4])
    unit = alt.Scale(domain=[0, 1])
    chart = alt.Chart(table).encode(
        x=alt.X("confidence:Q", scale=unit, title="confidence of the answers"),
        y=alt.Y("accuracy:Q", scale=unit, title="their accuracy"),
        color=alt.Color("probabilities:N", sort=None, legend=alt.Legend(orient="top", title=None)),
        tooltip=[
            "probabilities:N",
            alt.Tooltip("confidence:Q", format=".3f"),
            alt.Tooltip("accuracy:Q", format=".3f"),
            "images:Q",
        ],
    )
    points = chart.mark_circle(opacity=0.85).encode(size=alt.Size("images:Q", legend=None))
    diagonal = line.encode(x="confidence:Q", y="accuracy:Q", color=alt.value("#8a949c"))
    return spec(diagonal + chart.mark_line(strokeWidth=1, opacity=0.4) + points, height=220)


def _heat(base: Any, field: str, title: str, text_format: str | None) -> Any:
    """Cells coloured by `field` in 0..1, with its number, or the number of images, inside."""
    color = alt.Color(f"{field}:Q", title=title, legend=None, scale=alt.Scale(scheme="blues", domain=[0, 1]))
    text = alt.Text(f"{field}:Q", format=text_format) if text_format else alt.Text("images:Q")
    ink = alt.when(f"datum.{field} > 0.55").then(alt.value("#ffffff")).otherwise(alt.value("#1c2733"))
    return base.mark_rect().encode(color=color) + base.mark_text(fontSize=11).encode(text=text, color=ink)


def _epochs(rows: pd.DataFrame) -> Any:
    """Whole epochs, at most ten of them named: left to itself Vega names epoch 2.5."""
    last = int(rows["epoch"].max()) if len(rows) else 1
    named = list(range(1, last + 1, -(-last // 10)))
    return alt.X("epoch:Q", axis=alt.Axis(values=named, format="d", grid=False))


def by_model(rows: pd.DataFrame, legend: Any = None) -> Any:
    """Each model in its colour; rows: model, color, a row a model."""
    scale = alt.Scale(domain=rows["model"].tolist(), range=rows["color"].tolist())
    return alt.Color("model:N", scale=scale, legend=legend)


def spec(chart: Any, *, height: int | None = None, step: int | None = None) -> Spec:
    """As wide as its place; as high as said, or `step` pixels for each bar."""
    size = alt.Step(step) if step is not None else height
    spec: Spec = chart.properties(width="container", height=size).to_dict()
    # The page gives it colours for light and dark.
    spec.pop("config", None)
    return spec
