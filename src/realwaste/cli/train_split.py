"""The split of `realwaste train`: which photographs train, choose and test the model; near-duplicates stay together."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.dataset import leakage, manifest, split
from realwaste.dataset.labels import PARTS
from realwaste.sources.labelled_images import ImageSet

RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}
RUN_LENGTH = 10  # photographs in a run of the capture order, as split.block by default
MIN_IMAGES = 10  # of a class: with two test photographs, every score of the class is 0, a half or 1
_EXAMPLES = 5


@dataclass(frozen=True)
class PhotoSplit:
    """The split.

    Attributes:
        table: the manifest with the columns split and group.
        strategy: given, stratified or grouped.
        exposure: see leakage.measure_exposure.
    """

    table: pd.DataFrame
    strategy: str
    exposure: dict[str, Any]

    def digest(self) -> str:
        """A hash of all photographs and of their parts."""
        return hashlib.sha256(self.table[["path", "sha256", "split"]].to_csv().encode()).hexdigest()


def split_photos(labelled: ImageSet, root: Path, seed: int) -> PhotoSplit:
    """Decode every photograph once, and split them: as they came, or at random.

    If a random split would separate near-duplicates, they are kept together, so that the test stays honest. Files that
    are not images are named and left out.

    Args:
        root: a folder with the photographs as <Class>/<file>.

    Raises:
        UserError: a class has fewer than MIN_IMAGES readable photographs, or none in one of the parts.
    """
    scan = manifest.scan(root)
    if len(scan.rejected):
        examples = [f"{row.path} ({row.reason})" for row in scan.rejected.head(_EXAMPLES).itertuples()]
        more = ", …" if len(scan.rejected) > _EXAMPLES else ""
        logger.warning("%d files are left out: %s%s", len(scan.rejected), printable(", ".join(examples)), more)
    _refuse_small_classes(scan.manifest, list(labelled.folders.files))
    targets = labelled.folders.target_paths()
    parts = {targets[file]: part for file, part in labelled.folders.parts.items()}
    near = leakage.find_near_duplicates(scan.manifest)
    groups = leakage.assign_groups(scan.manifest, RUN_LENGTH, near)
    strategy = split.resolve_strategy("auto", parts)

    def draw(strategy: str) -> PhotoSplit:
        table = split.draw(scan.manifest, strategy, RATIOS, groups=groups, parts=parts, seed=seed)
        return PhotoSplit(table.assign(group=groups), strategy, leakage.measure_exposure(table, near))

    drawn = draw(strategy)
    if strategy == "stratified" and drawn.exposure["near_duplicates"]:
        try:
            drawn = draw("grouped")
        except UserError:  # too few groups
            count = drawn.exposure["near_duplicates"]
            logger.warning("%d test photos look like one that is not in the test: the score is too good", count)
    counts = split.summarize(drawn.table)
    logger.info("%s split: %d photos train, %d choose, %d test", drawn.strategy, *(counts[part] for part in PARTS))
    return drawn


def _refuse_small_classes(accepted: pd.DataFrame, classes: list[str]) -> None:
    counts = accepted["label"].value_counts().reindex(classes, fill_value=0)
    if small := {str(label): int(count) for label, count in counts.items() if count < MIN_IMAGES}:
        rule = f"Every class must have at least {MIN_IMAGES} readable photos: some train the model, others test it."
        raise UserError(rule, "Add photos to it, or move its folder out.", small)
