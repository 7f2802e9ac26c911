"""Images with a given split, as train, val and test folders or as a table of labels; up to data/splits.csv."""

import json
import shutil
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from sources.test_dataset import _fetch, _list_files, _zip_folder

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from realwaste.core.files import read_csv
from realwaste.core.log import logger
from realwaste.dataset import split
from realwaste.sources import class_folders, label_table, labelled_images
from stages import fetch as fetch_stage
from stages import split as split_stage
from stages import validate_images as validate_stage
from stages.launcher import params_file


def _write_three_parts(images, **names):
    """Write set/deep/Train, valid and testing with two classes each; they have file names in common."""
    for name, count in (names or {"Train": 4, "valid": 2, "testing": 2}).items():
        root = images(inside=f"set/deep/{name}", glass=count, metal=count + 1)
    return root


def test_train_val_and_test_folders_are_a_split(images):
    class_images = class_folders.find(_write_three_parts(images))
    assert {label: len(files) for label, files in class_images.files.items()} == {"glass": 8, "metal": 11}
    part_of_file = {file.relative_to(class_images.root).as_posix(): part for file, part in class_images.parts.items()}
    assert part_of_file["Train/glass/glass_1.jpg"] == "train"
    assert part_of_file["valid/metal/metal_3.jpg"] == "val"
    assert part_of_file["testing/glass/glass_2.jpg"] == "test"
    assert sorted(part_of_file.values()) == ["test"] * 5 + ["train"] * 9 + ["val"] * 5


@pytest.mark.parametrize("as_zip", [False, True])
def test_files_of_the_same_name_in_two_parts_get_a_prefix(images, tmp_path, as_zip):
    root = _write_three_parts(images)
    original_bytes = (root / "deep/testing/glass/glass_1.jpg").read_bytes()
    fetched = _fetch(_zip_folder(root) if as_zip else root, tmp_path / "raw")
    assert (fetched.images, fetched.classes) == (19, 2)
    assert set(fetched.parts) == set(_list_files(tmp_path / "raw"))
    assert fetched.parts["glass/testing-glass-glass_1.jpg"] == "test"
    assert (tmp_path / "raw/glass/testing-glass-glass_1.jpg").read_bytes() == original_bytes


def test_unique_file_names_do_not_change(images, tmp_path):
    root = images(inside="set/train", glass=2, metal=2)
    shutil.copytree(root / "train", root / "test")
    for file in (root / "test").rglob("*.jpg"):
        file.rename(file.with_stem(file.stem + "0"))
    fetched = _fetch(root, tmp_path / "raw")
    assert fetched.parts["glass/glass_1.jpg"] == "train"
    assert fetched.parts["glass/glass_10.jpg"] == "test"
    assert _fetch(root / "train", tmp_path / "raw").parts == {}


def _write_table(folder, text, encoding="utf-8"):
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding, errors="surrogateescape")
    return path


def test_a_table_names_files_labels_and_parts(images, tmp_path):
    folder = images(a=2, b=2)
    text = (
        "Path, label ,split,who\nset/a/a_1.jpg,Glass,training,x\nset/a/a_2.jpg,Glass,test,\nset/b/b_1.jpg,NA,Train,\n"
    )
    table = _write_table(tmp_path, text + "set/a/../b/b_1.jpg,NA,train,\nset/b/b_2.jpg,NA,test,\n", "utf-8-sig")
    fetched = _fetch(table, tmp_path / "raw")
    assert (fetched.dataset, fetched.source, fetched.images, fetched.classes) == ("labels", "labels.csv", 4, 2)
    parts = {"Glass/a_1.jpg": "train", "Glass/a_2.jpg": "test", "NA/b_1.jpg": "train", "NA/b_2.jpg": "test"}
    assert fetched.parts == parts
    assert _list_files(tmp_path / "raw") == sorted(parts)
    assert (tmp_path / "raw/NA/b_2.jpg").read_bytes() == (folder / "b/b_2.jpg").read_bytes()
    with pytest.raises(UserError, match=r"sha256 of fetch\.sha256"):
        _fetch(table, tmp_path / "raw", sha256="0" * 64)


def test_files_of_the_same_name_in_a_table_get_a_prefix(images, tmp_path):
    images(one=2, two=2)
    for name in ("one", "two"):
        (tmp_path / f"set/{name}/{name}_1.jpg").rename(tmp_path / f"set/{name}/1.jpg")
    table = _write_table(tmp_path, "label,path\nx,set/one/1.jpg\nx,set/two/1.jpg\ny,set/two/two_2.jpg\n")
    assert _fetch(table, tmp_path / "raw").parts == {}
    assert _list_files(tmp_path / "raw") == ["x/one-1.jpg", "x/two-1.jpg", "y/two-two_2.jpg"]
    with labelled_images.open_labelled_images(str(table)) as (labelled, root):
        assert (labelled.name, labelled.source, list(labelled.folders.files)) == ("labels", "labels.csv", ["x", "y"])
        assert sorted(path.name for path in (root / "x").iterdir()) == ["one-1.jpg", "two-1.jpg"]


@pytest.mark.parametrize(("form_in_table", "form_on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_table_may_have_another_unicode_form_than_the_files(images, tmp_path, form_in_table, form_on_disk):
    folder = images(a=2, b=1)
    (folder / "a").rename(folder / unicodedata.normalize(form_on_disk, "Müll"))
    (folder / "b/b_1.jpg").rename(folder / "b" / unicodedata.normalize(form_on_disk, "é.jpg"))
    rows = [("set/Müll/a_1.jpg", "x"), ("set/Müll/a_2.jpg", "x"), ("set/b/é.jpg", "y")]
    text = "".join(f"{unicodedata.normalize(form_in_table, path)},{label}\n" for path, label in rows)
    class_images = label_table.find(_write_table(tmp_path, "path,label\n" + text))
    assert {label: len(files) for label, files in class_images.files.items()} == {"x": 2, "y": 1}
    assert all(file.is_file() for files in class_images.files.values() for file in files)


TABLE_START = "path,label\nset/a/a_1.jpg,a\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns path, label"),
        ("file,class\nset/a/a_1.jpg,a\n", r"must name the columns path, label.*\['file', 'class'\]"),
        (TABLE_START, "two classes at least"),
        (
            TABLE_START + "set/b/b_9.jpg,b\nset/b,b\n",
            r"file that is there: 'set/b/b_9\.jpg' in line 3, 'set/b' in line 4\.",
        ),
        (TABLE_START + "".join(f"no{n}.jpg,b\n" for n in range(9)), r"'no4\.jpg' in line 7, and 4 more\."),
        (TABLE_START + "set/a/a_1.jpg,b\n", r"one label and one split.*'set/a/a_1\.jpg' in line 3"),
        (TABLE_START + "set/b/b_1.jpg,\n", "label must be able to name a folder: '' in line 3"),
        (TABLE_START + "set/b/b_1.jpg,../up\n", "label must be able to name a folder"),
        (TABLE_START + "set/b/b_1.jpg,A\n", "letter case"),
        (TABLE_START + "set/b/b_1.jpg,b,c\n", "Line 3 of .* no more fields"),
        (TABLE_START + 'set/b/b_1.jpg,"b\n', r"must be a table \(CSV\)"),
        (TABLE_START + "\udcff,b\n", r"must be a table \(CSV\)"),
        (
            "path,label,split\nset/a/a_1.jpg,a,train\nset/b/b_1.jpg,b,later\n",
            r"split must be train, val.*'later' in line 3",
        ),
        ("path,label,split\nset/a/a_1.jpg,a,train\nset/a/a_1.jpg,a,test\n", "one label and one split"),
    ],
)
def test_an_invalid_table_is_refused_in_two_lines(images, tmp_path, text, message):
    images(a=2, b=2)
    with pytest.raises(UserError, match=message) as error:
        label_table.find(_write_table(tmp_path, text))
    assert len(str(error.value).splitlines()) == 2


def _run_stages(root, monkeypatch, source, **split_params):
    """Run the stages fetch, validate_images and split in `root`; returns data/splits.csv and metrics/split.json."""
    (root / "work").mkdir(exist_ok=True)
    monkeypatch.chdir(root / "work")
    shutil.copyfile(ROOT / "dvc.yaml", "dvc.yaml")
    values = params_file.read_yaml(ROOT / "params.yaml")
    values["fetch"]["source"] = str(source)
    values["split"] |= split_params
    for name in ("finetune_irv2", "finetune_densenet"):
        values[name] |= {"backbone": "MobileNetV2", "weights": "random"}
    params = params_file.check(values)
    for stage in (fetch_stage, validate_stage, split_stage):
        stage.main(params)
    return read_csv(Path("data/splits.csv")), json.loads(Path("metrics/split.json").read_text(encoding="utf-8"))


def test_a_given_split_is_used_and_its_leakage_is_counted(images, tmp_path, monkeypatch, caplog):
    """Images of the same class and number are equal in all parts, so val and test contain only duplicates of train."""
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO")
    root = _write_three_parts(images)
    splits, metrics = _run_stages(tmp_path, monkeypatch, root)
    assert dict(splits.groupby("split").size()) == {"train": 9, "val": 5, "test": 5}
    assert (
        splits["split"]
        == splits["path"].str.extract(r"/(\w+)-")[0].map({"Train": "train", "valid": "val", "testing": "test"})
    ).all()
    assert metrics["strategy"] == "given"
    overlap = {"exact_duplicates": 5, "near_duplicates": 5}
    assert metrics["leakage"] == {"train_val": overlap, "train_test": overlap, "val_test": overlap}
    assert metrics["exposure"]["exact_duplicates"] == 5
    assert "split: given by the source\n" in caplog.text
    assert "5 images in test are near-duplicates of images in train, 5 of them identical" in caplog.text

    caplog.clear()
    splits, metrics = _run_stages(tmp_path, monkeypatch, root, strategy="stratified")
    assert metrics["strategy"] == "stratified"
    assert "leakage" not in metrics
    assert "of the source are not used" in caplog.text


def test_a_missing_val_is_drawn_from_train(images, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO")
    root = images(inside="set/train", glass=12, metal=8)
    images(inside="set/test", glass=3, metal=3)
    splits, metrics = _run_stages(tmp_path, monkeypatch, root)
    assert metrics["classes"]["val"] == {"glass": 3, "metal": 2}, "0.2 / (0.6 + 0.2) of train, class by class"
    test_paths = splits[splits["split"] == "test"]["path"]
    assert sorted(test_paths) == sorted(
        f"{name}/test-{name}-{name}_{n}.jpg" for name in ("glass", "metal") for n in (1, 2, 3)
    )
    assert "val is drawn from train" in caplog.text


def test_a_missing_or_incomplete_split_is_refused():
    assert split.resolve_strategy("auto", {}) == split.resolve_strategy("stratified", {}) == "stratified"
    assert split.resolve_strategy("grouped", {"a": "train"}) == "grouped"
    with pytest.raises(UserError, match=r"needs images that came as train/ and test/.*images without a split"):
        split.resolve_strategy("given", {})
    with pytest.raises(UserError, match=r"\['train', 'val'\]"):
        split.resolve_strategy("auto", {"1.jpg": "train", "2.jpg": "val"})
    parts = {"1.jpg": "train", "2.jpg": "val", "3.jpg": "test", "4.jpg": "train", "5.jpg": "val"}
    table = pd.DataFrame({"path": list(parts), "label": ["glass"] * 3 + ["metal"] * 2})
    with pytest.raises(UserError, match="'metal' has no image in test") as error:
        split.predefined(table, parts, train=0.6, val=0.2, seed=1)
    assert "-S split.strategy=stratified" in str(error.value)
