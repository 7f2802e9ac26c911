"""Class names that look like numbers, booleans or missing values, and hashes that consist of digits."""

import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from tiny_pipeline import run

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import set_params
from realwaste.core.files import read_csv, read_json, write_csv
from realwaste.dataset import leakage, manifest, split
from realwaste.dataset.labels import classes_of
from realwaste.evaluation import prediction_table

NUMBER_LIKE = ["01", "02", "1e3", "NA", "True", "nan"]
SPECIAL_CHARACTERS = ["-x", "=1+1", "$_{$", "a,b", "it's", '"quoted"', "<b>&amp;", "a;b"]


def _write_images(folder: Path, classes: list[str], images: int = 6) -> None:
    """Write images of one colour each; their perceptual hashes are 0000000000000000."""
    for number, label in enumerate(classes):
        (folder / label).mkdir(parents=True)
        for index in range(images):
            color = (10 * number, 40 * index, 200)
            cv2.imwrite(str(folder / label / f"{index + 1}.png"), np.full((16, 16, 3), color, np.uint8))


@pytest.mark.parametrize("classes", [NUMBER_LIKE[:2], NUMBER_LIKE, SPECIAL_CHARACTERS])
def test_tables_are_read_back_unchanged(tmp_path, classes):
    _write_images(tmp_path / "raw", classes)
    accepted = manifest.scan(tmp_path / "raw").manifest
    write_csv(tmp_path / "manifest.csv", accepted)
    reread = read_csv(tmp_path / "manifest.csv")
    assert classes_of(reread) == sorted(classes)
    for column in ("path", "label", "sha256", "phash", "phash_mirrored", "series"):
        assert reread[column].tolist() == accepted[column].tolist()
    groups = leakage.assign_groups(reread, 1)
    splits = split.stratified(reread, train=0.6, val=0.2, test=0.2, seed=0)
    write_csv(tmp_path / "splits.csv", splits.assign(group=groups))
    splits = read_csv(tmp_path / "splits.csv")
    probabilities = np.eye(len(classes))[np.arange(len(splits)) % len(classes)]
    predictions = prediction_table.build_rows(splits, "cnn", probabilities, classes_of(splits))
    write_csv(tmp_path / "predictions.csv", predictions)
    table = read_csv(tmp_path / "predictions.csv")
    assert prediction_table.classes_of(table) == sorted(classes)
    assert (np.array(sorted(classes))[prediction_table.labels_of(table)] == table["label"]).all()
    np.testing.assert_array_equal(prediction_table.probabilities_of(table), probabilities)


def test_a_hash_of_digits_is_read_as_text(tmp_path):
    hashes = ["0" * 64, f"{1:064}", "12e4" + "0" * 60]
    write_csv(tmp_path / "images.csv", pd.DataFrame({"path": ["1", "2", "3"], "sha256": hashes}))
    assert read_csv(tmp_path / "images.csv")["sha256"].tolist() == hashes


@pytest.mark.parametrize("file", sorted(ROOT.glob("plots/data/*.csv")), ids=lambda file: file.stem)
def test_every_text_column_is_declared(file):
    """New text columns must be declared in core/files.py."""
    table = read_csv(file)
    for column in table.select_dtypes(["object", "str"]) if len(table) else []:
        single_column = read_csv(io.BytesIO(f"{column}\n01\n".encode()))
        assert single_column[column].tolist() == ["01"], f"{file.name}: {column}"


@pytest.mark.slow
@pytest.mark.parametrize("classes", [NUMBER_LIKE, SPECIAL_CHARACTERS], ids=["numbers", "special characters"])
def test_the_pipeline_runs_with_number_like_and_special_class_names(clone, tmp_path, classes):
    root = tmp_path / "checkout"
    shutil.copytree(clone, root)
    _write_images(root / "photos", classes)
    set_params(root, fetch__source="photos", evaluate__external=[])
    run(root, "dvc", "repro")
    metrics = read_json(root / "metrics/evaluate.json")
    assert all(list(metrics[model]["per_class"]) == sorted(classes) for model in ("cnn", "irv2", "densenet"))
    for file in [*root.glob("data/*.csv"), *root.glob("plots/data/*.csv")]:
        test_every_text_column_is_declared(file)
