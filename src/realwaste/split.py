"""Train, validation and test: one stratified split that every model answers for (report, section 1.5)."""

from typing import Any

import pandas as pd
from sklearn.model_selection import train_test_split

from realwaste.errors import UserError

PARTS = ("train", "val", "test")


def stratified(manifest: pd.DataFrame, *, train: float, val: float, test: float, seed: int) -> pd.DataFrame:
    """The manifest with a column `split`, rows in the manifest's order.

    Two `train_test_split` calls, test first, as the report's listing has them: on RealWaste's class counts they give
    2850/951/951.

    Raises:
        UserError: a class too small to be in all three parts.
    """
    _refuse_small(manifest)
    try:
        rest, tested = train_test_split(manifest, test_size=test, stratify=manifest["label"], random_state=seed)
        trained, validated = train_test_split(
            rest, test_size=val / (train + val), stratify=rest["label"], random_state=seed
        )
    except ValueError as error:
        raise UserError(
            "The images must be enough to give every class a place in train, val and test.",
            "Add images, or make the small parts of `split` larger.",
            str(error),
        ) from error
    parts = zip((trained, validated, tested), PARTS, strict=True)
    splits = pd.concat([part.assign(split=name) for part, name in parts]).sort_index()
    _refuse_small_parts(splits)
    return splits


def _refuse_small(manifest: pd.DataFrame) -> None:
    counts = manifest["label"].value_counts()
    small = {str(label): int(count) for label, count in counts.items() if count < len(PARTS)}
    if small:
        raise UserError(
            f"Every class must be large enough to be in train, val and test: {len(PARTS)} images at least.",
            "Add images to it, or leave the class out.",
            small,
        )


def _refuse_small_parts(splits: pd.DataFrame) -> None:
    counts = pd.crosstab(splits["label"], splits["split"]).reindex(columns=PARTS, fill_value=0)
    for label, row in counts.iterrows():
        missing = [part for part in PARTS if row[part] == 0]
        if missing:
            raise UserError(
                f"Every class must be in train, val and test; {label!r} has no image in {' and '.join(missing)}.",
                "Add images to it, or make that part of `split` larger.",
                {str(part): int(row[part]) for part in PARTS},
            )


def summary(splits: pd.DataFrame) -> dict[str, Any]:
    """Images a part, and the same a class."""
    counts = pd.crosstab(splits["split"], splits["label"])
    sizes: dict[str, Any] = {part: int((splits["split"] == part).sum()) for part in PARTS}
    return sizes | {"classes": {part: {str(k): int(v) for k, v in counts.loc[part].items()} for part in PARTS}}
