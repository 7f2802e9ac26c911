"""The figures of a run as PNG: the charts of `realwaste.report.charts` by Vega-Lite, and Table 1 by Matplotlib."""

import textwrap
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core.files import atomic_replace

REPORT = "the report"
"""Name of the rows of Table 1 that quote it."""
MOST_CLASSES = 40  # in one figure: more are too small to read, and take minutes to draw
_CELL = 42  # characters in a line of Table 1
MODEL_COLORS = {"cnn": "#c2703d", "irv2": "#3f7d63", "densenet": "#6a5fa8", "edge": "#b3476b", "ensemble": "#77808a"}


class FigureWriter:
    """Saves the figures of one run with the data set in the title and in one colour and resolution."""

    def __init__(self, dataset: str, origin: str, color: str, dpi: int) -> None:
        self._dataset = f"{dataset} images, not photographs" if origin == "synthetic" else dataset
        self._dpi = dpi
        self._config = {
            "background": "white",
            "font": "Liberation Sans",  # part of vl_convert: a figure is the same on every machine
            "mark": {"color": color},
            "range": {"category": [color, "#c2703d", "#3f7d63", "#6a5fa8"]},
        }

    def save_charts(self, path: Path, title: str, *charts: dict[str, Any], width: Any = 420) -> None:
        """Save specifications from `realwaste.report.charts` side by side.

        `width` is that of each chart in pixels at 72 dpi, or {"step": pixels of a column}.
        """
        import vl_convert  # noqa: PLC0415 - slow to import

        panels = [{key: value for key, value in chart.items() if key != "datasets"} for chart in charts]
        figure = {
            "title": {"text": [title, self._dataset], "anchor": "middle", "offset": 16},
            "hconcat": [panel | {"width": width} for panel in panels],
            "datasets": {name: rows for chart in charts for name, rows in chart["datasets"].items()},
            "resolve": {"scale": {"color": "independent"}},
            "config": self._config,
        }
        with atomic_replace(path) as temporary:
            temporary.write_bytes(vl_convert.vegalite_to_png(figure, ppi=self._dpi))

    def save_table1(self, path: Path, table: pd.DataFrame) -> None:
        """Save factors.format_table1 as a picture: the nine factors, the report's claims, and what was measured."""
        import matplotlib as mpl  # noqa: PLC0415 - slow to import
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

        with mpl.rc_context():
            mpl.rcdefaults()  # in place of a matplotlibrc of the user's or of another project
            mpl.rcParams["text.parse_math"] = False  # a class may be called `$x$`
            figure, title = _draw_table1(table)
            figure.suptitle(f"{title}\n{self._dataset}", fontsize=12)
            figure.set_dpi(self._dpi)
            with atomic_replace(path) as temporary:
                # Without the metadata that names Matplotlib's version the same picture has the same bytes.
                FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})


def _draw_table1(table: pd.DataFrame) -> tuple[Any, str]:
    """A Matplotlib figure of the table, and its title."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    cells = [[textwrap.fill(cell, _CELL) for cell in line] for line in table.to_numpy().tolist()]
    has_claims = REPORT in table.index.get_level_values("metric")
    labels = [
        factor if metric == REPORT else f"{metric}  " if has_claims else f"{factor}: {metric}  "
        for factor, metric in table.index
    ]
    line_counts = [max(cell.count("\n") + 1 for cell in row_cells) for row_cells in (table.columns, *cells)]
    heights = [0.16 * count + 0.16 for count in line_counts]
    figure = Figure(figsize=(2.6 + 2.7 * table.shape[1], 0.8 + sum(heights)), layout="constrained")
    axes: Any = figure.subplots()
    axes.axis("off")
    drawn_table = axes.table(
        cells, rowLabels=labels, colLabels=list(table.columns), cellLoc="center", rowLoc="right", bbox=(0, 0, 1, 1)
    )
    drawn_table.auto_set_font_size(False)
    drawn_table.set_fontsize(9)
    is_claim = [metric == REPORT for _, metric in table.index]
    for (row, column), cell in drawn_table.get_celld().items():
        cell.set_height(heights[row] / sum(heights))
        cell.set_edgecolor("#cccccc")
        if row == 0 or (column == -1 and is_claim[row - 1]):
            cell.set_text_props(weight="bold")
        elif is_claim[row - 1]:
            cell.set_text_props(color="#5b6875", fontsize=8)
            cell.set_facecolor("#f4f6f7")
    return figure, "Table 1, measured" if has_claims else "All metrics"
