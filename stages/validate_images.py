"""Every file decoded once: data/manifest.csv, data/rejected.csv, data/images.csv and the class distribution."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste.core.errors import list_examples
from realwaste.core.files import read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import label_corrections, manifest
from realwaste.report import charts, figures
from realwaste.sources import realwaste_files

if TYPE_CHECKING:
    from stages.launcher.params import Params


def main(params: "Params") -> None:
    fetched = read_json(Path("data/dataset.json"))
    expected_counts = realwaste_files.COUNTS if fetched["origin"] in {"realwaste", "realwaste-part"} else None
    files = manifest.read_files(Path("data/raw"))
    corrections = label_corrections.apply(files, label_corrections.load())
    warn_unapplied(corrections.unapplied)
    accepted, rejected, order = manifest.build_manifest(corrections.table, expected_counts)
    if params.validate_images.on_reject == "fail":
        manifest.refuse_rejected(rejected)
    manifest.refuse_empty_classes(accepted, rejected)

    dataset = fetched["dataset"]
    counts = manifest.count_classes(accepted)
    write_csv(Path("data/manifest.csv"), accepted)
    write_csv(Path("data/rejected.csv"), rejected)
    # Without labels: a corrected label must not invalidate the embeddings.
    write_csv(Path("data/images.csv"), files.loc[files["height"].notna(), ["path", "sha256"]])
    metrics = {"dataset": dataset} | manifest.summarize(accepted, rejected)
    metrics |= {"shooting_order": order, "by_hand": corrections.counts}
    write_json(Path("metrics/validate_images.json"), metrics)
    rows = pd.DataFrame({"label": list(counts), "images": list(counts.values())}).assign(dataset=dataset)
    write_csv(Path("plots/data/classes.csv"), rows)
    writer = figures.FigureWriter(dataset, fetched["origin"], params.plots.color, params.plots.dpi)
    writer.save_charts(Path("plots/class_distribution.png"), "Images per class", charts.image_counts(counts))
    details = ", file numbers sorted as text (1, 10, 2)" if order["order"] == "text" else ""
    corrected = {name: corrections.counts[name] for name in ("relabelled", "dropped") if corrections.counts[name]}
    details += "".join(f", {count} {name} by hand" for name, count in corrected.items())
    logger.info("%d images accepted, %d rejected%s", len(accepted), len(rejected), details)


def warn_unapplied(unapplied: Mapping[str, str]) -> None:
    """Warn of corrections whose file is missing or has changed."""
    if unapplied:
        examples = list_examples((f"{path}: {reason}" for path, reason in unapplied.items()), "; ")
        lines = "1 line" if len(unapplied) == 1 else f"{len(unapplied)} lines"
        logger.warning("%s: %s not applied: %s", label_corrections.FILE, lines, examples)
