"""One split for every model: data/splits.csv and its distribution."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import leakage, split
from realwaste.dataset.labels import PARTS
from realwaste.report import charts, figures

if TYPE_CHECKING:
    from stages.launcher.params import Params


PARAMS = ["base.seed", "split", "plots"]


def main(params: "Params") -> None:
    manifest, section = read_csv(Path("data/manifest.csv")), params.split
    split_of_path = read_csv(Path("data/given.csv")).set_index("path")["split"].to_dict()
    near_duplicates = leakage.find_near_duplicates(manifest)
    strategy = split.resolve_strategy(section.strategy, split_of_path)
    metrics: dict[str, Any] = {"shooting_order": read_json(Path("metrics/validate_images.json"))["shooting_order"]}
    groups = leakage.assign_groups(manifest, section.block, near_duplicates)
    ratios = {part: getattr(section, part) for part in PARTS}
    splits = split.draw(manifest, strategy, ratios, groups=groups, parts=split_of_path, seed=params.base.seed)
    if strategy == "given":
        metrics["leakage"] = leakage.count_shared_images(splits, near_duplicates)
        _log_given(split_of_path, metrics["leakage"])
    elif split_of_path:
        remedy = "split.strategy=given takes them"
        logger.warning("split: the train and test folders of the source are not used; %s", remedy)
    exposed, summary = leakage.measure_exposure(splits, near_duplicates), split.summarize(splits)
    fetched = read_json(Path("data/dataset.json"))
    dataset = fetched["dataset"]
    write_csv(Path("data/splits.csv"), splits)
    # A separate file: split.block must not retrain models of a random split.
    write_csv(Path("data/groups.csv"), manifest[["path"]].assign(group=groups))
    metrics |= leakage.summarize_groups(manifest, groups) | summary | {"exposure": exposed}
    write_json(Path("metrics/split.json"), {"dataset": dataset, "strategy": strategy} | metrics)
    counts = splits.groupby(["split", "label"]).size().rename("images").reset_index()
    write_csv(Path("plots/data/splits.csv"), counts.assign(dataset=dataset))
    writer = figures.FigureWriter(dataset, fetched["origin"], params.plots.color, params.plots.dpi)
    part_sizes = {f"{part} ({summary[part] / len(splits):.1%})": int(summary[part]) for part in PARTS}
    panels = charts.image_counts(part_sizes), charts.split_counts(counts)
    writer.save_charts(Path("plots/split_distribution.png"), "Train, validation and test", *panels)
    logger.info(
        "%s: train %d, val %d, test %d; of the test images, %d have a duplicate in train or val, %d a near-duplicate; "
        "%.0f %% were photographed directly before or after a train or val image",
        strategy,
        *(summary[part] for part in PARTS),
        exposed["exact_duplicates"],
        exposed["near_duplicates"],
        100 * exposed["neighbour_within_1"],
    )


def _log_given(split_of_path: dict[str, str], leaked: dict[str, dict[str, int]]) -> None:
    """Where the split comes from, and what its parts have in common."""
    note = "" if "val" in split_of_path.values() else "; val is drawn from train"
    logger.info("split: given by the source%s", note)
    for parts, counts in leaked.items():
        if counts["near_duplicates"]:
            first, second = parts.split("_")
            shares = counts["near_duplicates"], second, first, counts["exact_duplicates"]
            logger.warning("split: %d images in %s are near-duplicates of images in %s, %d of them identical", *shares)
