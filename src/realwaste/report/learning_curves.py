"""The learning curves as a chart: test accuracy by the number of images learned from."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

from realwaste.report.charts import Spec, by_model, spec
from realwaste.report.figures import MODEL_COLORS


def chart(table: pd.DataFrame, names: Mapping[str, str]) -> Spec:
    """A line a model with 95 % intervals.

    Args:
        table: as of realwaste.evaluation.learning_curve.curve_table; names: of the models, as shown.
    """
    rows = table.assign(model=table["model"].map(names), color=table["model"].map(MODEL_COLORS))
    models = rows.drop_duplicates("model")
    color = by_model(models, alt.Legend(orient="top", title=None, columns=1, labelLimit=300))
    counts = alt.Axis(format="d", tickMinStep=1, tickCount=6)
    base = alt.Chart(rows).encode(
        x=alt.X(
            "images:Q",
            title="training images learned from",
            scale=alt.Scale(zero=False, nice=False, padding=12),
            axis=counts,
        ),
        color=color,
        tooltip=["model:N", "images:Q", "percent:Q"]
        + [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("accuracy", "accuracy_low", "accuracy_high")],
    )
    y = alt.Y("accuracy:Q", title="test accuracy, 95 % interval", scale=alt.Scale(domain=[0, 1]))
    interval = base.mark_rule(strokeWidth=3, opacity=0.5).encode(y=alt.Y("accuracy_low:Q"), y2="accuracy_high:Q")
    return spec(base.mark_line(point=True).encode(y=y) + interval, height=240)
