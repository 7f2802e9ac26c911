"""Thumbnails for the report page: examples of each class, and a model's mistakes with Grad-CAM overlays."""

from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from realwaste.evaluation.grad_cam import GradCam
from realwaste.evaluation.overlays import blend_heat
from realwaste.images.reader import Pixels, read_image, read_images, resize_image
from realwaste.models.model_file import Classifier

_QUALITY = 82


def select_examples(splits: pd.DataFrame, count: int) -> pd.DataFrame:
    """path and label of the first `count` training images of each class, in the order of their names."""
    train = splits[splits["split"] == "train"].sort_values(["label", "path"], kind="stable")
    return train.groupby("label").head(count)[["path", "label"]].reset_index(drop=True)


def write_pictures(folder: Path, root: Path, table: pd.DataFrame, name: str, side: int) -> list[dict[str, Any]]:
    """Writes thumbnails of root/<path> as `folder`/<name>_<n>.webp; returns the rows with their file's name."""
    return [
        row | {"picture": _write_webp(folder / f"{name}_{number}.webp", read_image(root / row["path"], side))}
        for number, row in enumerate(table.to_dict("records"))
    ]


def write_mistakes(
    folder: Path, root: Path, table: pd.DataFrame, classifier: Classifier, side: int
) -> list[dict[str, Any]]:
    """Writes each picture as the model gets it, and a Grad-CAM overlay for the predicted class.

    Returns the rows of `table`, from prediction_table.most_confident_mistakes, with the names of both files.
    """
    if table.empty:
        return []
    metadata = classifier.metadata
    pixels = read_images([root / path for path in table["path"]], metadata.image_size)
    predicted = pd.Index(metadata.classes).get_indexer_for(table["predicted"])
    heat = GradCam(classifier.model).heat(pixels, predicted)
    rows = []
    for number, (row, image, image_heat) in enumerate(zip(table.to_dict("records"), pixels, heat, strict=True)):
        images = {"picture": image, "overlay": blend_heat(image, image_heat)}
        names = {
            kind: _write_webp(folder / f"{metadata.name}_{number}_{kind}.webp", resize_image(pixels_of_kind, side))
            for kind, pixels_of_kind in images.items()
        }
        rows.append(row | names)
    return rows


def _write_webp(path: Path, pixels: Pixels) -> str:
    path.write_bytes(cv2.imencode(".webp", pixels[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes())
    return path.name
