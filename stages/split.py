"""One stratified split for every model: data/splits.csv and its distribution."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import figures, split
from realwaste.atomic import write_csv, write_json
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.tables import read_csv

if TYPE_CHECKING:
    from stages.params import Params


def main(params: "Params") -> None:
    ratios = params.split
    splits = split.stratified(
        read_csv(Path("data/manifest.csv")), train=ratios.train, val=ratios.val, test=ratios.test, seed=params.base.seed
    )

    dataset = read_json(Path("data/dataset.json"))["dataset"]
    summary = split.summary(splits)
    write_csv(Path("data/splits.csv"), splits)
    write_json(Path("metrics/split.json"), {"dataset": dataset} | summary)
    counts = splits.groupby(["split", "label"]).size().rename("images").reset_index()
    write_csv(Path("plots/data/splits.csv"), counts.assign(dataset=dataset))
    studio = figures.Studio(dataset, params.plots.color, params.plots.dpi)
    figures.split_distribution(studio, Path("plots/split_distribution.png"), splits)
    logger.info("train %(train)d, val %(val)d, test %(test)d", summary)
