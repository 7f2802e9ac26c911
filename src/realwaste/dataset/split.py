"""The split into train, val and test that all models share: random, grouped or predefined (report, section 1.5)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.dataset.group_assignment import assign_groups
from realwaste.dataset.labels import PARTS

MAX_DEVIATION = 0.02
"""A part may deviate from its share by this much without a warning."""


def stratified(manifest: pd.DataFrame, *, train: float, val: float, test: float, seed: int) -> pd.DataFrame:
    """A random stratified split: the manifest with a column `split`, rows in the manifest's order.

    Two calls of `train_test_split`, test first, as in the report's listing; RealWaste is split into 2850/951/951.

    Raises:
        UserError: a class is too small to be in all three parts.
    """
    _refuse_small(manifest)
    try:
        rest, test_rows = _draw_part(manifest, test, seed)
        train_rows, val_rows = _draw_part(rest, val / (train + val), seed)
    except ValueError as error:
        rule = "The images must be enough to give every class a place in train, val and test."
        remedy = "Add images, or make the small parts of `split` larger."
        raise UserError(rule, remedy, {"images": len(manifest), "classes": manifest["label"].nunique()}) from error
    parts = zip((train_rows, val_rows, test_rows), PARTS, strict=True)
    splits = pd.concat([part.assign(split=name) for part, name in parts]).sort_index()
    _refuse_small_parts(splits, "Add images to it, or make that part of `split` larger.")
    return splits


def grouped(
    manifest: pd.DataFrame, group: NDArray[np.int64], *, train: float, val: float, test: float, seed: int
) -> pd.DataFrame:
    """Like `stratified`, but all images of a group are in one part; shares are met as closely as that allows.

    Args:
        group: the group number of each image, from 0, as leakage.assign_groups returns them.

    Raises:
        UserError: a class has too few groups to be in all three parts.
    """
    _refuse_small(manifest)
    labels, classes = pd.factorize(manifest["label"], sort=True)
    counts = np.zeros((group.max() + 1, len(classes) + 1))
    np.add.at(counts, (group, labels), 1)
    counts[:, -1] = counts.sum(axis=1)
    part_of_group = assign_groups(counts, np.outer((train, val, test), counts.sum(axis=0)), np.random.default_rng(seed))
    splits = manifest.assign(split=np.array(PARTS)[part_of_group[group]])
    _refuse_small_parts(splits, "Take shorter runs of photographs with a smaller split.block, or add images.")
    return splits


def resolve_strategy(strategy: str, predefined_parts: Mapping[str, str]) -> str:
    """Resolve `auto` to `given` if the images came with a split, the part of each path, else to `stratified`.

    Raises:
        UserError: the strategy is `given`, but the images came without a split, or without train or test.
    """
    if strategy == "auto":
        strategy = "given" if predefined_parts else "stratified"
    parts = set(predefined_parts.values())
    if strategy == "given" and not {"train", "test"} <= parts:
        raise UserError(
            "split.strategy=given needs images that came as train/ and test/, or a table with these in a column split.",
            "Name the folders so (docs/layouts.md), or take another strategy: -S split.strategy=stratified.",
            sorted(parts) or "images without a split",
        )
    return strategy


def predefined(
    manifest: pd.DataFrame, parts: Mapping[str, str], *, train: float, val: float, seed: int
) -> pd.DataFrame:
    """The split that the images came with, as a column `split`; `parts` has the part of each path.

    Without a val, it is drawn from train at random; only for that, the ratio of `train` and `val` matters.

    Raises:
        UserError: a class is not in all three parts, or has too few images in train to draw val from them.
    """
    splits = manifest.assign(split=manifest["path"].map(parts))
    if "val" not in set(parts.values()):
        train_rows = splits[splits["split"] == "train"]
        try:
            _, val_rows = _draw_part(train_rows, val / (train + val), seed)
        except ValueError as error:
            rule = "The images in train must be enough to take every class's part of val from them."
            counts = {str(label): int(count) for label, count in train_rows["label"].value_counts().items()}
            raise UserError(rule, "Provide val too, or more images.", counts) from error
        splits.loc[val_rows.index, "split"] = "val"
    _refuse_small_parts(splits, "Add images of it there, or take another split: -S split.strategy=stratified.")
    return splits


def draw(
    manifest: pd.DataFrame,
    strategy: str,
    ratios: Mapping[str, float],
    *,
    groups: NDArray[np.int64],
    parts: Mapping[str, str],
    seed: int,
) -> pd.DataFrame:
    """The split by a strategy of `resolve_strategy`; if a drawn one deviates from its `ratios`, a warning is logged."""
    if strategy == "given":
        return predefined(manifest, parts, train=ratios["train"], val=ratios["val"], seed=seed)
    if strategy == "grouped":
        splits = grouped(manifest, groups, **ratios, seed=seed)
    else:
        splits = stratified(manifest, **ratios, seed=seed)
    if remark := describe_deviation(splits, ratios):
        logger.warning("split: %s", remark)
    return splits


def describe_deviation(splits: pd.DataFrame, ratios: Mapping[str, float]) -> str | None:
    """A warning if a part deviates from its share in `ratios` by more than MAX_DEVIATION, else None."""
    deviation = max(abs(float((splits["split"] == part).mean()) - ratios[part]) for part in PARTS)
    if deviation <= MAX_DEVIATION:
        return None
    advice = "more images, or for a grouped split a smaller split.block, may come closer"
    return f"a part deviates by {100 * deviation:.1f} percentage points from its share; {advice}"


def _draw_part(table: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The other rows, and a stratified random sample with this share of the rows."""
    rest, part = train_test_split(table, test_size=share, stratify=table["label"], random_state=seed)
    return rest, part


def _refuse_small(manifest: pd.DataFrame) -> None:
    counts = manifest["label"].value_counts()
    small = {str(label): int(count) for label, count in counts.items() if count < len(PARTS)}
    if small:
        rule = f"Every class must be large enough to be in train, val and test: {len(PARTS)} images at least."
        raise UserError(rule, "Add images to it, or leave the class out.", small)


def _refuse_small_parts(splits: pd.DataFrame, remedy: str) -> None:
    counts = pd.crosstab(splits["label"], splits["split"]).reindex(columns=PARTS, fill_value=0)
    for label, row in counts.iterrows():
        missing = [part for part in PARTS if row[part] == 0]
        if missing:
            rule = f"Every class must be in train, val and test; {label!r} has no image in {' and '.join(missing)}."
            raise UserError(rule, remedy, {str(part): int(row[part]) for part in PARTS})


def summarize(splits: pd.DataFrame) -> dict[str, Any]:
    """The number of images in each part, and of each class in each part."""
    counts = pd.crosstab(splits["split"], splits["label"])
    sizes: dict[str, Any] = {part: int((splits["split"] == part).sum()) for part in PARTS}
    return sizes | {"classes": {part: {str(k): int(v) for k, v in counts.loc[part].items()} for part in PARTS}}
