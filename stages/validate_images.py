"""Every file decoded once: data/manifest.csv, data/rejected.csv and the class distribution."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste.core.files import read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import manifest
from realwaste.report import figures
from realwaste.sources import published

if TYPE_CHECKING:
    from stages.launcher.params import Params


def main(params: "Params") -> None:
    fetched = read_json(Path("data/dataset.json"))
    known = published.COUNTS if fetched["origin"] in {"realwaste", "realwaste-part"} else None
    accepted, rejected, order = manifest.scan(Path("data/raw"), known)
    if params.validate_images.on_reject == "fail":
        manifest.refuse_rejected(rejected)
    manifest.refuse_emptied(accepted, rejected)

    dataset = fetched["dataset"]
    counts = manifest.class_counts(accepted)
    write_csv(Path("data/manifest.csv"), accepted)
    write_csv(Path("data/rejected.csv"), rejected)
    facts = {"dataset": dataset} | manifest.summary(accepted, rejected) | {"shooting_order": order}
    write_json(Path("metrics/validate_images.json"), facts)
    rows = pd.DataFrame({"label": list(counts), "images": list(counts.values())}).assign(dataset=dataset)
    write_csv(Path("plots/data/classes.csv"), rows)
    studio = figures.Studio(dataset, fetched["origin"], params.plots.color, params.plots.dpi)
    figures.class_distribution(studio, Path("plots/class_distribution.png"), counts)
    how = ", numbered in the order of text" if order["order"] == "text" else ""
    logger.info("%d images accepted, %d rejected%s", len(accepted), len(rejected), how)
