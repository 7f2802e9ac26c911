"""Class folders at any depth, and layouts that are refused."""

import os
from pathlib import Path

import pytest

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.sources import class_folders


@pytest.mark.parametrize("inside", ["set", "set/realwaste-main/RealWaste"])
def test_classes_are_found_at_any_depth(images, inside):
    root = images(inside=inside, glass=3, metal=2)
    (root / "readme.txt").write_text("words")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX/x.jpg").write_bytes(b"x")
    (root / ".hidden").mkdir()
    class_images = class_folders.find(root)
    assert {label: len(files) for label, files in class_images.files.items()} == {"glass": 3, "metal": 2}
    assert class_images.image_count == 5


@pytest.mark.parametrize("inside", ["set", "set/train"])
def test_images_in_default_and_real_world_belong_to_the_class_above(images, tmp_path, inside):
    for label in ("cans", "paper"):
        root = images(inside=f"{inside}/{label}", default=2, real_world=1)
    images(inside=inside, glass=1)
    if inside != "set":
        images(inside="set/test", cans=1, glass=1, paper=1)
    class_images = class_folders.find(root)
    extra = int(bool(class_images.parts))
    expected = {"cans": 3 + extra, "glass": 1 + extra, "paper": 3 + extra}
    assert {label: len(files) for label, files in class_images.files.items()} == expected
    assert len(set(class_images.target_paths().values())) == class_images.image_count


@pytest.mark.parametrize("inside", ["set", "set/train", "set/only"])
def test_original_and_augmented_may_be_classes(images, inside):
    root = images(inside=inside, original=2, augmented=1)
    if inside == "set/train":
        images(inside="set/test", original=1, augmented=1)
    assert set(class_folders.find(root).files) == {"original", "augmented"}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["glass"], "two classes at least"),
        (["train/a", "test/a"], "two classes at least"),
        (["train", "test"], "one folder of images per class"),  # they contain no class folders
        (["metal", "Metal", "glass"], r"letter case.*\['Metal', 'metal'\]"),
        (["train/a", "train/b", "test/A", "test/b"], "letter case"),
        (["monday/a", "monday/b", "friday/a", "friday/b"], "in one place"),
        (["val/a", "valid/a", "val/b", "valid/b"], "in one place"),  # two folders could be val
        (["train/a", "train/b", "x/test/a", "x/test/b"], "in one place"),
        (["train/a", "train/b", "test/a", "new/c"], "in one place"),
        (["x/a", "x/b", "y/c"], r"no folders of images outside of it.*\['y/c'\]"),
        (["x/a", "x/b", "x/a/inner"], r"no folders of images outside of it.*\['x/a/inner'\]"),
    ],
)
def test_ambiguous_folders_are_refused_in_two_lines(images, tmp_path, folders, message):
    for folder in folders:
        images(inside=str(Path("set", folder).parent), **{Path(folder).name: 2})
    with pytest.raises(UserError, match=message) as error:
        class_folders.find(tmp_path / "set")
    assert len(str(error.value).splitlines()) == 2


def test_an_empty_class_is_refused(images):
    with pytest.raises(UserError, match="'paper' holds none"):
        class_folders.find(images(glass=2, metal=1, paper=0))


def test_skipped_files_are_counted_in_the_log(images, caplog, monkeypatch):
    root = images(inside="set/deep", glass=2, metal=1)
    for name in ("deep/glass/1.xyz", "deep/glass/2.XYZ", "deep/metal/3.xyz", "deep/metal/notes", "readme.txt"):
        (root / name).write_bytes(b"x")
    (root / "deep/glass/Thumbs.db").write_bytes(b"x")
    for name in ("cover.png", "deep/cover.png"):
        (root / name).write_bytes(b"x")
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO")
    assert class_folders.find(root).image_count == 3
    assert "7 files skipped: 3 .xyz, 2 .png, 1 .txt, 1 without a suffix" in caplog.text


def test_a_class_name_that_is_not_utf_8_is_refused(images):
    root = images(glass=2, metal=1)
    os.rename(bytes(root / "metal"), bytes(root) + b"/m\xffll")  # noqa: PTH104 - bytes
    with pytest.raises(UserError, match=r"must be UTF-8.*m.*udcff"):
        class_folders.find(root)
