"""Train, validation and test: one split, drawn or given, that every model answers for (report, section 1.5)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from realwaste.core.errors import UserError
from realwaste.dataset.labels import PARTS

MOST_OFF = 0.02
"""Of its share, by which a part may be off without a remark."""
# By hand, since folds of scikit-learn's StratifiedGroupKFold, three for train and one each for val and test, leave a
# class out of a part in sets of 40 images a class in runs of ten (with 20 seeds of 20; this with none), and RealWaste's
# classes 1.0 point off their shares (this 0.2).
# What a class that a part lacks, and the part's size, weigh beside the share of one class.
_ABSENT, _SIZE = 1000, 12
_ROUNDS, _AT_ONCE = 50, 300  # of changes, and the groups that may change places with each other in one


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
            {"images": len(manifest), "classes": manifest["label"].nunique()},
        ) from error
    parts = zip((trained, validated, tested), PARTS, strict=True)
    splits = pd.concat([part.assign(split=name) for part, name in parts]).sort_index()
    _refuse_small_parts(splits)
    return splits


def grouped(
    manifest: pd.DataFrame, group: NDArray[np.int64], *, train: float, val: float, test: float, seed: int
) -> pd.DataFrame:
    """As `stratified`, but a group is in one part whole: parts and classes come out as near as that allows.

    Args:
        group: a number from 0 on for each image, as of leakage.groups.

    Raises:
        UserError: a class with too few groups to be in all three parts.
    """
    _refuse_small(manifest)
    labels, classes = pd.factorize(manifest["label"], sort=True)
    counts = np.zeros((group.max() + 1, len(classes) + 1))
    np.add.at(counts, (group, labels), 1)
    counts[:, -1] = counts.sum(axis=1)
    part = _placed(counts, np.outer((train, val, test), counts.sum(axis=0)), np.random.default_rng(seed))
    splits = manifest.assign(split=np.array(PARTS)[part[group]])
    _refuse_small_parts(splits)
    return splits


def chosen(strategy: str, given: Mapping[str, str]) -> str:
    """`stratified`, `grouped` or `given`: what `auto` means is that the split that the images came with is taken.

    Args:
        strategy: one of the three, or auto.
        given: the part of each path; empty where the images came without a split.

    Raises:
        UserError: `given` where there is none, or one without train or test.
    """
    if strategy == "auto":
        strategy = "given" if given else "stratified"
    parts = set(given.values())
    if strategy == "given" and not {"train", "test"} <= parts:
        raise UserError(
            "split.strategy=given needs images that came as train/ and test/, or a table with these in a column split.",
            "Name the folders so, as docs/layouts.md has it, or take another: -S split.strategy=stratified.",
            sorted(parts) or "images without a split",
        )
    return strategy


def given(manifest: pd.DataFrame, parts: Mapping[str, str], *, train: float, val: float, seed: int) -> pd.DataFrame:
    """The manifest with the column `split` that the images came with; without a val, it is taken from train at random.

    Args:
        parts: of each path, `train`, `val` or `test`.
        train, val: their shares; only the proportion counts, and only where val is to be taken.

    Raises:
        UserError: a class that is not in all three parts, or too small in train to be parted.
    """
    splits = manifest.assign(split=manifest["path"].map(parts))
    if "val" not in set(parts.values()):
        trained = splits[splits["split"] == "train"]
        try:
            _, taken = train_test_split(
                trained, test_size=val / (train + val), stratify=trained["label"], random_state=seed
            )
        except ValueError as error:
            rule = "The images in train must be enough to take every class's part of val from them."
            counts = {str(label): int(count) for label, count in trained["label"].value_counts().items()}
            raise UserError(rule, "Give val too, or more images.", counts) from error
        splits.loc[taken.index, "split"] = "val"
    _refuse_small_parts(splits, "Add images of it there, or take another split: -S split.strategy=stratified.")
    return splits


def remark(splits: pd.DataFrame, wanted: Mapping[str, float], smaller: Callable[[float], int | None]) -> str | None:
    """What to say of a split whose parts are far from the shares they were to have; None where they are near.

    Args:
        smaller: gives a block by which the parts are at most so far off.
    """
    off = share_off(splits, wanted)
    if off <= MOST_OFF:
        return None
    block = smaller(MOST_OFF) or smaller(off - 1e-9)
    nearer = f"split.block={block} comes nearer" if block else "with so few images none comes nearer"
    return f"a part is {100 * off:.1f} points off its share; {nearer}"


def share_off(splits: pd.DataFrame, wanted: Mapping[str, float]) -> float:
    """By how much the part that is farthest from its share is off."""
    return max(abs(float((splits["split"] == part).mean()) - wanted[part]) for part in PARTS)


def _cost(placed: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a part that has so many images of each class, and in the last column of all (…, classes + 1), is off."""
    off = (placed - wanted) ** 2 / wanted
    off[..., :-1] += (placed[..., :-1] == 0) * _ABSENT * wanted[:-1]
    off[..., -1] *= _SIZE
    return np.asarray(off.sum(axis=-1))


def _placed(counts: NDArray[np.float64], wanted: NDArray[np.float64], chance: np.random.Generator) -> NDArray[np.int64]:
    """A part for each group, so that the parts' costs together are small.

    The largest groups are placed first, each where it does most for that, as scikit-learn's StratifiedGroupKFold does
    for folds of one size; then groups move, or change places, as long as that helps.

    Args:
        counts: images of each class and of all, a group (groups, classes + 1).
        wanted: the same, a part (parts, classes + 1).
    """
    parts = range(len(wanted))
    order = chance.permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    placed, part = np.zeros_like(wanted), np.empty(len(counts), np.int64)
    for number in order:
        part[number] = np.argmin(
            [_cost(placed[p] + counts[number], wanted[p]) - _cost(placed[p], wanted[p]) for p in parts]
        )
        placed[part[number]] += counts[number]
    for _ in range(_ROUNDS):
        some = chance.permutation(len(counts))[:_AT_ONCE]
        changes = [_improved(counts, wanted, (placed, part), one, some) for one in some]
        if not any(changes):
            break
    return part


def _improved(
    counts: NDArray[np.float64],
    wanted: NDArray[np.float64],
    now: tuple[NDArray[np.float64], NDArray[np.int64]],
    one: int,
    some: NDArray[np.int64],
) -> bool:
    """Move group `one` to another part, or against one of `some` that is there, if that lowers the cost; in `now`."""
    placed, part = now
    here = int(part[one])
    for there in set(range(len(placed))) - {here}:
        others = some[part[some] == there]
        back = np.vstack([np.zeros(counts.shape[1]), counts[others]]) - counts[one]
        after = _cost(placed[here] + back, wanted[here]) + _cost(placed[there] - back, wanted[there])
        best = int(after.argmin())
        if after[best] < _cost(placed[here], wanted[here]) + _cost(placed[there], wanted[there]) - 1e-9:
            placed[here] += back[best]
            placed[there] -= back[best]
            part[one] = there
            if best:
                part[others[best - 1]] = here
            return True
    return False


def _refuse_small(manifest: pd.DataFrame) -> None:
    counts = manifest["label"].value_counts()
    small = {str(label): int(count) for label, count in counts.items() if count < len(PARTS)}
    if small:
        raise UserError(
            f"Every class must be large enough to be in train, val and test: {len(PARTS)} images at least.",
            "Add images to it, or leave the class out.",
            small,
        )


def _refuse_small_parts(
    splits: pd.DataFrame, remedy: str = "Add images to it, or make that part of `split` larger."
) -> None:
    counts = pd.crosstab(splits["label"], splits["split"]).reindex(columns=PARTS, fill_value=0)
    for label, row in counts.iterrows():
        missing = [part for part in PARTS if row[part] == 0]
        if missing:
            raise UserError(
                f"Every class must be in train, val and test; {label!r} has no image in {' and '.join(missing)}.",
                remedy,
                {str(part): int(row[part]) for part in PARTS},
            )


def summary(splits: pd.DataFrame) -> dict[str, Any]:
    """Images a part, and the same a class."""
    counts = pd.crosstab(splits["split"], splits["label"])
    sizes: dict[str, Any] = {part: int((splits["split"] == part).sum()) for part in PARTS}
    return sizes | {"classes": {part: {str(k): int(v) for k, v in counts.loc[part].items()} for part in PARTS}}
