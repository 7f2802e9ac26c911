"""Every file decoded once: data/manifest.csv, data/rejected.csv, data/images.csv and the class distribution."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste.core.files import read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import label_corrections, manifest
from realwaste.report import figures
from realwaste.sources import realwaste_files

if TYPE_CHECKING:
    from stages.launcher.params import Params

_NAMED = 5  # of lines that are not applied


def main(params: "Params") -> None:
    fetched = read_json(Path("data/dataset.json"))
    expected_counts = realwaste_files.COUNTS if fetched["origin"] in {"realwaste", "realwaste-part"} else None
    read = manifest.read_files(Path("data/raw"))
    decided = label_corrections.apply(read, label_corrections.load())
    say_unapplied(decided.unapplied)
    accepted, rejected, order = manifest.build_manifest(decided.table, expected_counts)
    if params.validate_images.on_reject == "fail":
        manifest.refuse_rejected(rejected)
    manifest.refuse_empty_classes(accepted, rejected)

    dataset = fetched["dataset"]
    counts = manifest.count_classes(accepted)
    write_csv(Path("data/manifest.csv"), accepted)
    write_csv(Path("data/rejected.csv"), rejected)
    # Whatever their labels, so that a label mended is no reason to embed again.
    write_csv(Path("data/images.csv"), read.loc[read["height"].notna(), ["path", "sha256"]])
    by_hand = {"shooting_order": order, "by_hand": decided.counts}
    facts = {"dataset": dataset} | manifest.summarize(accepted, rejected) | by_hand
    write_json(Path("metrics/validate_images.json"), facts)
    rows = pd.DataFrame({"label": list(counts), "images": list(counts.values())}).assign(dataset=dataset)
    write_csv(Path("plots/data/classes.csv"), rows)
    studio = figures.FigureWriter(dataset, fetched["origin"], params.plots.color, params.plots.dpi)
    figures.plot_class_distribution(studio, Path("plots/class_distribution.png"), counts)
    how = ", numbered in the order of text" if order["order"] == "text" else ""
    mended = {name: decided.counts[name] for name in ("relabelled", "dropped") if decided.counts[name]}
    how += "".join(f", {count} {name} by hand" for name, count in mended.items())
    logger.info("%d images accepted, %d rejected%s", len(accepted), len(rejected), how)


def say_unapplied(unapplied: Mapping[str, str]) -> None:
    """Warn of what a person decided of files that are not there, or are others now."""
    if unapplied:
        some = "; ".join(f"{path}: {reason}" for path, reason in list(unapplied.items())[:_NAMED])
        rest = f"; and {len(unapplied) - _NAMED} more" if len(unapplied) > _NAMED else ""
        lines = "1 line" if len(unapplied) == 1 else f"{len(unapplied)} lines"
        logger.warning("%s: %s not applied: %s%s", label_corrections.FILE, lines, some, rest)
