"""What images there are: one row a file that can be read, one row a file that cannot, with the reason."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.dataset import capture_order, leakage, perceptual_hash
from realwaste.images.reader import UnreadableImageError, decode_image, read_bytes

COLUMNS = [
    "path",
    "label",
    "sha256",
    "height",
    "width",
    "channels",
    "bytes",
    "phash",
    "phash_mirrored",
    "series",
    "number",
    "shot",
    "likeness",
    "likeness_second",
]


class Scan(NamedTuple):
    """What `scan` found.

    Attributes:
        manifest: COLUMNS, a row an image, sorted by path, which is relative to the folder. phash and phash_mirrored are
            perceptual hashes; series and number are read from the file's name, and shot is the place in the order of
            shooting, see realwaste.dataset.capture_order. likeness and likeness_second, 0 to 1, are those of the
            colours to the photograph that was shot before it, and to the one before that. They are missing where
            there is none.
        rejected: path and reason, a row a file that is no image.
        order: the evidence for the order of shooting, for metrics.
    """

    manifest: pd.DataFrame
    rejected: pd.DataFrame
    order: dict[str, Any]


def scan(root: Path, published: Mapping[str, int] | None = None) -> Scan:
    """Decode and hash every file of root/<Class>/ on all cores.

    Args:
        published: images of each class in RealWaste, where the files are RealWaste's; their order is then known.
    """
    return of(read(root).assign(dropped=False), published)


def read(root: Path) -> pd.DataFrame:
    """A row for each file of root/<Class>/, sorted by path: what a manifest is made of, and the reason if it is none.

    Path, label (the folder) and, of what is a file, sha256 are always there.
    """
    files = sorted(path for path in root.glob("*/*") if not path.name.startswith("."))
    with ThreadPoolExecutor(machine.available_cpus()) as pool:
        rows = list(pool.map(lambda file: _row(root, file), files))
    return pd.DataFrame(rows, columns=[*COLUMNS, "colors", "reason"])


def of(table: pd.DataFrame, published: Mapping[str, int] | None = None) -> Scan:
    """The manifest of what `read` found, with the labels that hold; what is `dropped` is in neither table.

    The order of shooting is that of the folders, whatever the labels: who was shot after whom does not change.

    Args:
        table: as `read` gives it, with a column `dropped`.
        published: as of `scan`.
    """
    table = table.astype({"reason": object})
    _reject_conflicts(table)
    rejected = table["reason"].notna()
    order = _add_neighbours(table, ~rejected, published)
    whole = {"height": int, "width": int, "channels": int, "bytes": int}
    manifest = table.loc[~rejected & ~table["dropped"], COLUMNS].astype(whole)
    others = table.loc[rejected & ~table["dropped"], ["path", "reason"]].reset_index(drop=True)
    return Scan(manifest.reset_index(drop=True), others, order)


def _reject_conflicts(table: pd.DataFrame) -> None:
    """The same bytes in two classes: one of the labels is wrong, and nobody knows which."""
    readable = table[table["reason"].isna() & ~table["dropped"]]
    for _, same in readable.groupby("sha256"):
        if same["label"].nunique() > 1:
            for row in same.itertuples():
                others = " and ".join(same.loc[same["label"] != row.label, "path"])
                table.loc[row.Index, "reason"] = f"label conflict: the same bytes as {others}"


def _add_neighbours(
    table: pd.DataFrame, accepted: "pd.Series[bool]", published: Mapping[str, int] | None
) -> dict[str, Any]:
    """series, number, shot and likenesses of the accepted rows, in place; the evidence for the order."""
    table[["series", "number"]] = leakage.numbered(table["path"])
    own = table[accepted].assign(label=table["path"].str.split("/").str[0])

    def alike(one: int, other: int) -> float:
        return perceptual_hash.likeness(own.at[one, "colors"], own.at[other, "colors"])

    if published is not None and set(own["label"]) <= set(published):
        order = capture_order.published(own, published)
    else:
        order = capture_order.by_likeness(own, alike)
    table["shot"] = order.shot
    for column, step in (("likeness", 1), ("likeness_second", 2)):
        pairs = capture_order.before(own["series"], order.shot, step)
        table[column] = pd.Series({one: round(alike(one, other), 3) for one, other in pairs}, dtype=float)
    return order.evidence


def _row(root: Path, file: Path) -> dict[str, object]:
    row: dict[str, object] = {"path": file.relative_to(root).as_posix(), "label": file.parent.name}
    try:
        data = read_bytes(file)
        row["sha256"] = hashlib.sha256(data).hexdigest()
        pixels = decode_image(data)
    except UnreadableImageError as error:
        return row | {"reason": str(error)}
    except OSError as error:
        return row | {"reason": f"cannot be opened: {error.strerror}"}
    height, width, channels = pixels.shape
    size = {"height": height, "width": width, "channels": channels, "bytes": len(data)}
    seen = perceptual_hash.of(pixels)
    looks = {"phash": seen.phash, "phash_mirrored": seen.mirrored, "colors": seen.colors}
    return row | size | looks


def refuse_rejected(rejected: pd.DataFrame) -> None:
    """The rule of `on_reject: fail`."""
    if len(rejected):
        named = [f"{row.path} ({row.reason})" for row in rejected.head(5).itertuples()]
        raise UserError(
            f"Every file in data/raw must be a readable image; {len(rejected)} is not: {', '.join(named)}."
            if len(rejected) == 1
            else f"Every file in data/raw must be a readable image; {len(rejected)} are not: {', '.join(named)}.",
            "Mend or remove them at the source and run `dvc repro -f fetch`, or go on without them: "
            "-S validate_images.on_reject=drop.",
        )


def refuse_emptied(manifest: pd.DataFrame, rejected: pd.DataFrame) -> None:
    """A class may not vanish because all its files were rejected."""
    gone = {Path(path).parts[0] for path in rejected["path"]} - set(manifest["label"])
    if gone:
        raise UserError(
            "Every class must keep at least one readable image.",
            "Mend the files, or leave the class out.",
            sorted(gone),
        )


def summary(manifest: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, object]:
    """Counts (duplicates: images whose very bytes were there before), and section 1.4: have all the same size?"""
    sizes = manifest[["height", "width"]].drop_duplicates()
    return {
        "images": len(manifest),
        "rejected": len(rejected),
        "classes": class_counts(manifest),
        "duplicates": int(manifest["sha256"].duplicated().sum()),
        "same_size": len(sizes) == 1,
        "height": {"min": int(manifest["height"].min()), "max": int(manifest["height"].max())},
        "width": {"min": int(manifest["width"].min()), "max": int(manifest["width"].max())},
        "megabytes": round(float(manifest["bytes"].sum()) / 1e6, 1),
    }


def class_counts(table: pd.DataFrame) -> dict[str, int]:
    counts = table["label"].value_counts().sort_index()
    return {str(label): int(count) for label, count in counts.items()}
