"""One stratified split for every model: data/splits.csv and its distribution."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import leakage, split
from realwaste.dataset.labels import PARTS
from realwaste.report import figures

if TYPE_CHECKING:
    from stages.launcher.params import Params


def main(params: "Params") -> None:
    ratios = params.split
    manifest, seed = read_csv(Path("data/manifest.csv")), params.base.seed
    wanted = {"train": ratios.train, "val": ratios.val, "test": ratios.test}
    near, grouped = leakage.near_duplicates(manifest), ratios.strategy == "grouped"
    about: dict[str, Any] = {"shooting_order": read_json(Path("metrics/validate_images.json"))["shooting_order"]}
    groups = leakage.groups(manifest, near, ratios.block)
    if grouped:
        splits = split.grouped(manifest, groups, **wanted, seed=seed)
    else:
        splits = split.stratified(manifest, **wanted, seed=seed)
    about |= leakage.group_sizes(manifest, groups)
    exposed = leakage.exposure(splits, near)
    if remark := split.remark(splits, wanted, grouped=grouped):
        logger.warning("split: %s", remark)

    fetched = read_json(Path("data/dataset.json"))
    dataset = fetched["dataset"]
    summary = split.summary(splits)
    write_csv(Path("data/splits.csv"), splits)
    # Apart from the split: the block of a random one is no reason to train again.
    write_csv(Path("data/groups.csv"), manifest[["path"]].assign(group=groups))
    about = {"dataset": dataset, "strategy": ratios.strategy} | about
    write_json(Path("metrics/split.json"), about | summary | {"exposure": exposed})
    counts = splits.groupby(["split", "label"]).size().rename("images").reset_index()
    write_csv(Path("plots/data/splits.csv"), counts.assign(dataset=dataset))
    studio = figures.Studio(dataset, fetched["origin"], params.plots.color, params.plots.dpi)
    figures.split_distribution(studio, Path("plots/split_distribution.png"), splits)
    logger.info(
        "%s: train %d, val %d, test %d; of these %d have their double in train or val, %d a near-duplicate, "
        "%.0f %% the photograph shot next",
        ratios.strategy,
        *(summary[part] for part in PARTS),
        exposed["exact_duplicates"],
        exposed["near_duplicates"],
        100 * exposed["neighbour_within_1"],
    )
