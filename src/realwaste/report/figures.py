"""The figures of the report as PNG, by Matplotlib; each title names the data set."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from realwaste.core.files import atomic_replace
from realwaste.dataset.labels import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORT = "the report"
"""Name of the rows of Table 1 that quote it."""
MOST_CLASSES = 40  # in one figure: more are too small to read, and take minutes to draw
_CELL = 42  # characters in a line of Table 1
MODEL_COLORS = {"cnn": "#c2703d", "irv2": "#3f7d63", "densenet": "#6a5fa8", "edge": "#b3476b", "ensemble": "#77808a"}


class FigureWriter:
    """Saves the figures of one run with the data set in the title and in one colour and resolution."""

    def __init__(self, dataset: str, origin: str, color: str, dpi: int) -> None:
        self.dataset = f"{dataset} images, not photographs" if origin == "synthetic" else dataset
        self.color = color
        self.dpi = dpi

    def save(self, figure: "Figure", path: Path, title: str) -> None:
        from matplotlib import rc_context, text  # noqa: PLC0415 - as in _subplots
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

        figure.suptitle(f"{title}\n{self.dataset}", fontsize=12)
        for text_artist in figure.findobj(text.Text):  # a class may be called `$x$`; ticks made later go by the context
            text_artist.set_parse_math(False)
        with atomic_replace(path) as temporary, rc_context({"text.parse_math": False}):
            figure.set_dpi(self.dpi)
            # Not savefig, which draws twice. Without the metadata that names Matplotlib's version the same picture has
            # the same bytes.
            FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})


def plot_class_distribution(writer: FigureWriter, path: Path, counts: Mapping[str, int]) -> None:
    """Images a class, with the counts (fig. 1)."""
    figure, axes = _subplots(figsize=(8, 4.8), layout="constrained")
    bars = axes.bar(list(counts), list(counts.values()), color=writer.color)
    if len(counts) <= MOST_CLASSES:
        axes.bar_label(bars, padding=2)
    axes.set(xlabel="class", ylabel="images")
    _tidy(axes, list(counts))
    writer.save(figure, path, "Images per class")


def plot_split_distribution(writer: FigureWriter, path: Path, splits: pd.DataFrame) -> None:
    """Images a part with count and percentage, and a class within it (fig. 2)."""
    parts = list(PARTS)
    counts = pd.crosstab(splits["label"], splits["split"])[parts]
    figure, (left, right) = _subplots(1, 2, figsize=(11, 4.8), layout="constrained", width_ratios=(1, 2.2))
    totals = counts.sum()
    share = totals / totals.sum() * 100
    bars = left.bar(parts, share, color=writer.color, alpha=0.9)
    left.bar_label(bars, [f"{totals[part]}\n({share[part]:.1f} %)" for part in parts], padding=2)
    left.set(xlabel="part", ylabel="share of the images in %", ylim=(0, share.max() * 1.18))
    below = np.zeros(len(counts))
    for part, alpha in zip(parts, (1.0, 0.6, 0.3), strict=True):
        bars = right.bar(counts.index, counts[part], bottom=below, color=writer.color, alpha=alpha, label=part)
        if len(counts) <= MOST_CLASSES:
            right.bar_label(bars, label_type="center", fontsize=8)
        below += counts[part].to_numpy()
    right.set(xlabel="class", ylabel="images")
    right.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.1), frameon=False)
    for axes, names in ((left, parts), (right, list(counts.index))):
        _tidy(axes, names)
    writer.save(figure, path, "Train, validation and test")


def plot_training_curves(writer: FigureWriter, path: Path, name: str, history: pd.DataFrame) -> None:
    """Loss and accuracy an epoch, train and validation (fig. 3, 9, 11)."""
    figure, panels = _subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for axes, measure in zip(panels, ("loss", "accuracy"), strict=True):
        axes.plot(history["epoch"], history[measure], marker="o", markersize=4, color=writer.color, label="train")
        axes.plot(
            history["epoch"], history[f"val_{measure}"], marker="s", markersize=4, color="#c2703d", label="validation"
        )
        axes.set(xlabel="epoch", ylabel=measure)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        _tidy(axes, [])
    writer.save(figure, path, f"Training of {name}")


def plot_learning_rates(writer: FigureWriter, path: Path, table: pd.DataFrame, best: float) -> None:
    """Train and validation loss an epoch for each learning rate (fig. 6); a log scale, since large rates explode."""
    rates = sorted(table["learning_rate"].unique())
    figure, panels = _subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
    for axes, measure, title in zip(panels, ("loss", "val_loss"), ("train", "validation"), strict=True):
        for rate, color in zip(rates, _viridis(len(rates)), strict=True):
            rows = table[table["learning_rate"] == rate]
            note = " (diverged)" if rows["diverged"].any() else " (best)" if rate == best else ""
            axes.plot(rows["epoch"], rows[measure], marker="o", markersize=4, color=color, label=f"{rate:g}{note}")
        axes.set(xlabel="epoch", ylabel=f"{title} loss", yscale="log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        _tidy(axes, [])
    panels[1].legend(title="learning rate", frameon=False, bbox_to_anchor=(1.02, 1), loc="upper left")
    writer.save(figure, path, "Learning rates of the CNN")


def plot_confusion_matrix(writer: FigureWriter, path: Path, name: str, counts: pd.DataFrame) -> None:
    """Counts of actual against predicted test images, coloured by the share of the actual class (fig. 5)."""
    size = 3.2 + 0.55 * len(counts)
    figure, axes = _subplots(figsize=(size + 1.2, size), layout="constrained")
    share = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        color = "white" if share.iloc[row, column] > 0.55 else "#333333"
        axes.text(column, row, counts.iloc[row, column], ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(len(counts)), counts.columns, rotation=40, ha="right")
    axes.set_yticks(range(len(counts)), counts.index)
    axes.set(xlabel="predicted class", ylabel="actual class")
    figure.colorbar(image, label="share of the actual class", shrink=0.8)
    writer.save(figure, path, f"Confusion matrix of {name}, test images")


def plot_model_scores(
    writer: FigureWriter, path: Path, rows: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]
) -> None:
    """Test accuracy with its 95 % interval, and test loss, side by side (fig. 4, 13, 14; section 2.6)."""
    figure, (left, right) = _subplots(1, 2, figsize=(2 + 2 * len(rows), 4.6), layout="constrained")
    labels = [names[model].replace(" (", "\n(") for model in rows]
    colors = [MODEL_COLORS[model] for model in rows]
    accuracy = np.array([row["test_accuracy"] for row in rows.values()])
    low = accuracy - [row["test_accuracy_low"] for row in rows.values()]
    high = [row["test_accuracy_high"] for row in rows.values()] - accuracy
    left.bar(labels, accuracy, color=colors, width=0.6)
    left.errorbar(labels, accuracy, yerr=[low, high], fmt="none", ecolor="#333333", capsize=6)
    for index, value in enumerate(accuracy):
        left.text(index, 0.02, f"{value:.3f}", ha="center", color="white", weight="bold")
    left.set(xlabel="model", ylabel="test accuracy, 95 % interval", ylim=(0, 1))
    bars = right.bar(labels, [row["test_loss"] for row in rows.values()], color=colors, width=0.6)
    right.bar_label(bars, fmt="%.3f", padding=2)
    right.set(xlabel="model", ylabel="test loss (crossentropy)")
    right.margins(y=0.12)
    longest = max(len(line) for label in labels for line in label.splitlines())
    for axes in (left, right):
        _tidy(axes, [])
        # About as wide as the bars' distance at this size of the figure.
        axes.tick_params(axis="x", labelsize=min(10, 140 / longest))
    writer.save(figure, path, "Test accuracy and loss")


def plot_class_scores(
    writer: FigureWriter, path: Path, scores: pd.DataFrame, names: Mapping[str, str], note: str = ""
) -> None:
    """Test precision, recall and f1 a class, for each model (the report's classification report, section 1.12)."""
    classes = list(dict.fromkeys(scores["label"]))
    figure, panels = _subplots(
        1, 3, figsize=(12, 1.8 + 0.14 * len(names) * len(classes)), layout="constrained", sharey=True, sharex=True
    )
    position, step = np.arange(len(classes)), 0.8 / len(names)
    for axes, measure in zip(panels, ("precision", "recall", "f1"), strict=True):
        for index, (model, model_scores) in enumerate(scores.groupby("model", sort=False)):
            y = position + (index - (len(names) - 1) / 2) * step
            axes.barh(y, model_scores[measure], 0.9 * step, color=MODEL_COLORS[str(model)], label=names[str(model)])
        axes.set(xlabel=measure, xlim=(0, 1))
        axes.grid(axis="x", alpha=0.3)
        _tidy(axes, [])
    support = scores.groupby("label", sort=False)["support"].first()
    panels[0].set_yticks(position, [f"{label} ({support[label]})" for label in classes])
    panels[0].set_ylabel("class (test images)")
    panels[0].invert_yaxis()
    panels[2].legend(frameon=False, bbox_to_anchor=(1.02, 1), loc="upper left")
    writer.save(figure, path, f"Test scores per class{note}")


def plot_table1(writer: FigureWriter, path: Path, table: pd.DataFrame) -> None:
    """The report's Table 1 as a picture: its nine factors, what it says of each, and what was measured.

    Args:
        rows: as of factors.format_table1.
    """
    cells = [[textwrap.fill(cell, _CELL) for cell in line] for line in table.to_numpy().tolist()]
    has_claims = REPORT in table.index.get_level_values("figure")
    labels = [
        factor if figure == REPORT else f"{figure}  " if has_claims else f"{factor}: {figure}  "
        for factor, figure in table.index
    ]
    line_counts = [
        max(name.count("\n") + 1 for name in table.columns),
        *(max(c.count("\n") + 1 for c in row_cells) for row_cells in cells),
    ]
    heights = [0.16 * count + 0.16 for count in line_counts]
    figure, axes = _subplots(figsize=(2.6 + 2.7 * table.shape[1], 0.8 + sum(heights)), layout="constrained")
    axes.axis("off")
    drawn_table = axes.table(
        cellText=cells,
        rowLabels=labels,
        colLabels=list(table.columns),
        cellLoc="center",
        rowLoc="right",
        bbox=(0, 0, 1, 1),
    )
    drawn_table.auto_set_font_size(False)
    drawn_table.set_fontsize(9)
    is_claim = [figure == REPORT for _, figure in table.index]
    for (row, column), cell in drawn_table.get_celld().items():
        cell.set_height(heights[row] / sum(heights))
        cell.set_edgecolor("#cccccc")
        if row == 0 or (column == -1 and is_claim[row - 1]):
            cell.set_text_props(weight="bold")
        elif is_claim[row - 1]:
            cell.set_text_props(color="#5b6875", fontsize=8)
            cell.set_facecolor("#f4f6f7")
    writer.save(figure, path, "Table 1, measured" if has_claims else "All metrics")


def _subplots(*counts: int, **options: Any) -> Any:
    # Imported when something is drawn: the stages that draw at their end start 0.3 s earlier.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcdefaults()  # in place of a matplotlibrc of the user's or of another project
    panels = {key: options.pop(key) for key in ("sharex", "sharey", "width_ratios") if key in options}
    figure = Figure(**options)
    return figure, figure.subplots(*counts, **panels)


def _viridis(count: int) -> Any:
    from matplotlib import colormaps  # noqa: PLC0415

    return colormaps["viridis"](np.linspace(0.05, 0.85, count))


def _tidy(axes: "Axes", names: list[str]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.1)
    if len(names) > MOST_CLASSES or max((len(name) for name in names), default=0) > 6:
        step = -(-len(names) // MOST_CLASSES)
        axes.set_xticks(range(0, len(names), step), names[::step], rotation=40, ha="right")
