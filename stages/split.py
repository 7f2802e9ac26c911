"""One split for every model: data/splits.csv and its distribution."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import grouped_runs, leakage, split
from realwaste.dataset.labels import PARTS
from realwaste.report import figures

if TYPE_CHECKING:
    from stages.launcher.params import Params


def main(params: "Params") -> None:
    ratios = params.split
    manifest, seed = read_csv(Path("data/manifest.csv")), params.base.seed
    own = read_csv(Path("data/given.csv")).set_index("path")["split"].to_dict()
    wanted = {"train": ratios.train, "val": ratios.val, "test": ratios.test}
    near, strategy = leakage.near_duplicates(manifest), split.chosen(ratios.strategy, own)
    about: dict[str, Any] = {"shooting_order": read_json(Path("metrics/validate_images.json"))["shooting_order"]}
    groups = leakage.groups(manifest, ratios.block, near)
    if strategy == "given":
        splits = split.given(manifest, own, train=ratios.train, val=ratios.val, seed=seed)
        about["leakage"] = leakage.between(splits, near)
        _say_given(own, about["leakage"])
    elif strategy == "grouped":
        splits = grouped_runs.grouped_in_runs(manifest, groups, ratios.block, near, **wanted, seed=seed)
    else:
        splits = split.stratified(manifest, **wanted, seed=seed)
    exposed, summary = leakage.exposure(splits, near), split.summary(splits)
    if strategy != "given":

        def smaller(most_off: float) -> int | None:
            if strategy != "grouped":
                return None
            return grouped_runs.smaller_block(manifest, ratios.block, near, most_off, **wanted, seed=seed)

        _say_drawn(own, split.remark(splits, wanted, smaller))

    fetched = read_json(Path("data/dataset.json"))
    dataset = fetched["dataset"]
    write_csv(Path("data/splits.csv"), splits)
    # Apart from the split: the block of a random one is no reason to train again.
    write_csv(Path("data/groups.csv"), manifest[["path"]].assign(group=groups))
    about |= leakage.group_sizes(manifest, groups) | summary | {"exposure": exposed}
    write_json(Path("metrics/split.json"), {"dataset": dataset, "strategy": strategy} | about)
    counts = splits.groupby(["split", "label"]).size().rename("images").reset_index()
    write_csv(Path("plots/data/splits.csv"), counts.assign(dataset=dataset))
    studio = figures.Studio(dataset, fetched["origin"], params.plots.color, params.plots.dpi)
    figures.split_distribution(studio, Path("plots/split_distribution.png"), splits)
    logger.info(
        "%s: train %d, val %d, test %d; of these %d have their double in train or val, %d a near-duplicate, "
        "%.0f %% the photograph shot next",
        strategy,
        *(summary[part] for part in PARTS),
        exposed["exact_duplicates"],
        exposed["near_duplicates"],
        100 * exposed["neighbour_within_1"],
    )


def _say_given(own: dict[str, str], leaked: dict[str, dict[str, int]]) -> None:
    """Where the split comes from, and what its parts have in common."""
    taken = "" if "val" in own.values() else "; val, which was not among them, is taken from train"
    logger.info("split: the parts are those that the images came in%s", taken)
    for parts, counts in leaked.items():
        if counts["near_duplicates"]:
            first, second = parts.split("_")
            shares = counts["near_duplicates"], second, first, counts["exact_duplicates"]
            logger.warning("split: %d of the images in %s look like one in %s, %d of them to the byte", *shares)


def _say_drawn(own: dict[str, str], remark: str | None) -> None:
    if own:
        remedy = "split.strategy=given takes them"
        logger.warning("split: the train and test that the images came as are not used; %s", remedy)
    if remark:
        logger.warning("split: %s", remark)
