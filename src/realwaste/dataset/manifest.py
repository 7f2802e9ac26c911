"""The manifest: one row for each readable image, and a table of rejected files with the reasons."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from realwaste.core import machine
from realwaste.core.errors import UserError, list_examples
from realwaste.dataset import capture_order, leakage, perceptual_hash
from realwaste.images.reader import UnreadableImageError, decode_image, read_bytes

COLUMNS = [
    *("path", "label", "sha256", "height", "width", "channels", "bytes", "phash", "phash_mirrored"),
    *("series", "number", "shot", "likeness", "likeness_second", "likeness_far"),
]


class Scan(NamedTuple):
    """The result of `scan`.

    Attributes:
        manifest: COLUMNS, one row per image, sorted by path, which is relative to the folder. phash and phash_mirrored
            are perceptual hashes. series and number come from the file name; shot is the position in capture order, see
            realwaste.dataset.capture_order. likeness, likeness_second and likeness_far, 0 to 1, are the similarities of
            the colours to the previous photograph in capture order, to the one before it, and to the one half a series
            before; missing if there is none.
        rejected: path and reason, one row for each file that is not an image.
        order: the evidence for the capture order, for metrics.
    """

    manifest: pd.DataFrame
    rejected: pd.DataFrame
    order: dict[str, Any]


def scan(root: Path) -> Scan:
    """Decode and hash every file of root/<Class>/ on all cores."""
    return build_manifest(read_files(root).assign(dropped=False))


def read_files(root: Path) -> pd.DataFrame:
    """One row for each file of root/<Class>/, sorted by path, with its image's data or the reason why it is rejected.

    path and label (the folder's name) are always set; sha256 is set if the file can be read.
    """
    files = sorted(path for path in root.glob("[!.]*/[!.]*"))
    with ThreadPoolExecutor(machine.available_cpus()) as pool:
        rows = list(pool.map(lambda file: _read_row(root, file), files))
    return pd.DataFrame(rows, columns=[*COLUMNS, "colors", "reason"])


def build_manifest(table: pd.DataFrame, published: Mapping[str, int] | None = None) -> Scan:
    """Build the manifest from the rows of `read_files`. Rows that are `dropped` are in neither table.

    The capture order follows the folders, even if labels were corrected.

    Args:
        table: the rows of `read_files`, with corrected labels and a boolean column `dropped`.
        published: the images of each class in RealWaste, if the files are RealWaste's, whose capture order is known.
    """
    table = table.astype({"reason": object})
    _reject_conflicts(table)
    rejected = table["reason"].notna()
    order = _add_neighbors(table, ~rejected, published)
    integer_columns = {"height": int, "width": int, "channels": int, "bytes": int}
    manifest = table.loc[~rejected & ~table["dropped"], COLUMNS].astype(integer_columns)
    rejected_rows = table.loc[rejected & ~table["dropped"], ["path", "reason"]].reset_index(drop=True)
    return Scan(manifest.reset_index(drop=True), rejected_rows, order)


def _reject_conflicts(table: pd.DataFrame) -> None:
    """Reject files with the same bytes in two classes: one of the labels must be wrong."""
    readable = table[table["reason"].isna() & ~table["dropped"]]
    for _, duplicates in readable.groupby("sha256"):
        if duplicates["label"].nunique() > 1:
            for row in duplicates.itertuples():
                conflicting = " and ".join(duplicates.loc[duplicates["label"] != row.label, "path"])
                table.loc[row.Index, "reason"] = f"label conflict: the same bytes as {conflicting}"


def _add_neighbors(
    table: pd.DataFrame, accepted: "pd.Series[bool]", published: Mapping[str, int] | None
) -> dict[str, Any]:
    """Set series, number, shot and the likeness columns of the accepted rows; return the evidence for the order."""
    table[["series", "number"]] = leakage.parse_file_numbers(table["path"])
    photographs = table[accepted].assign(label=table["path"].str.split("/").str[0])

    def similarity(first: int, second: int) -> float:
        """The Bhattacharyya coefficient of two photographs' colours, 0 to 1."""
        return float(photographs.at[first, "colors"] @ photographs.at[second, "colors"])

    if published is not None and set(photographs["label"]) <= set(published):
        order = capture_order.published_order(photographs, published)
    else:
        order = capture_order.order_by_similarity(photographs, similarity)
    table["shot"] = order.positions
    series, positions = photographs["series"], order.positions
    for column, pairs in (
        ("likeness", capture_order.neighbor_pairs(series, positions)),
        ("likeness_second", capture_order.neighbor_pairs(series, positions, 2)),
        ("likeness_far", capture_order.pairs_half_a_series_apart(series, positions)),
    ):
        table[column] = pd.Series({first: round(similarity(first, second), 3) for first, second in pairs}, dtype=float)
    return order.evidence


def _read_row(root: Path, file: Path) -> dict[str, object]:
    row: dict[str, object] = {"path": file.relative_to(root).as_posix(), "label": file.parent.name}
    try:
        data = read_bytes(file)
        row["sha256"] = hashlib.sha256(data).hexdigest()
        pixels = decode_image(data)
    except UnreadableImageError as error:
        return row | {"reason": str(error)}
    except OSError as error:
        return row | {"reason": f"cannot be opened: {error.strerror}"}
    fingerprint = perceptual_hash.compute_fingerprint(pixels)
    hashes = {"phash": fingerprint.phash, "phash_mirrored": fingerprint.mirrored, "colors": fingerprint.colors}
    return row | dict(zip(("height", "width", "channels"), pixels.shape, strict=True)) | {"bytes": len(data)} | hashes


def describe_rejected(rejected: pd.DataFrame) -> str:
    """The first rejected files with their reasons, and how many more there are."""
    return list_examples(f"{row.path} ({row.reason})" for row in rejected.itertuples())


def refuse_rejected(rejected: pd.DataFrame) -> None:
    """Raise UserError if there are rejected files, for `on_reject: fail`."""
    if len(rejected):
        examples = describe_rejected(rejected)
        verb = "is" if len(rejected) == 1 else "are"
        rule = f"Every file in data/raw must be a readable image with one label; {len(rejected)} {verb} not: "
        remedy = "Repair or remove them at the source and run `dvc repro -f fetch`, or continue without them: "
        raise UserError(f"{rule}{examples}.", remedy + "-S validate_images.on_reject=drop.")


def refuse_empty_classes(manifest: pd.DataFrame, rejected: pd.DataFrame) -> None:
    """Raise UserError if all files of a class were rejected."""
    emptied = {Path(path).parts[0] for path in rejected["path"]} - set(manifest["label"])
    if emptied:
        rule = "Every class must keep at least one image that is not rejected."
        raise UserError(rule, "Repair the files, or leave the class out.", sorted(emptied))


def summarize(manifest: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, object]:
    """Counts for metrics (duplicates have the bytes of an earlier image), and whether all sizes agree (section 1.4)."""
    sizes = manifest[["height", "width"]].drop_duplicates()
    return {
        "images": len(manifest),
        "rejected": len(rejected),
        "classes": count_classes(manifest),
        "duplicates": int(manifest["sha256"].duplicated().sum()),
        "same_size": len(sizes) == 1,
        "height": {"min": int(manifest["height"].min()), "max": int(manifest["height"].max())},
        "width": {"min": int(manifest["width"].min()), "max": int(manifest["width"].max())},
        "megabytes": round(float(manifest["bytes"].sum()) / 1e6, 1),
    }


def count_classes(table: pd.DataFrame) -> dict[str, int]:
    """The number of rows of each label, sorted by label."""
    counts = table["label"].value_counts().sort_index()
    return {str(label): int(count) for label, count in counts.items()}
