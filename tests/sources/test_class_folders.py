import os

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


def test_class_folders_in_several_places_are_refused(images):
    for session in ("monday", "tuesday", "friday"):
        root = images(inside=f"set/{session}", glass=1, metal=1)
    with pytest.raises(UserError, match="in one place"):
        class_folders.find(root)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"glass": 2, "metal": 1, "paper": 0}, "'paper' holds none"),
        ({"glass": 2}, "two classes at least"),
        ({"metal": 2, "Metal": 1, "glass": 1}, r"letter case.*\['Metal', 'metal'\]"),
    ],
)
def test_invalid_classes_are_refused(images, counts, message):
    with pytest.raises(UserError, match=message):
        class_folders.find(images(**counts))


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


@pytest.mark.parametrize("stray", ["y/c", "x/a/inner"])
def test_images_outside_the_classes_are_refused(images, stray):
    images(inside="set/x", a=2, b=1)
    folder, _, name = stray.rpartition("/")
    root = images(inside=f"set/{folder}", **{name: 1})
    with pytest.raises(UserError, match=rf"no folders of images outside of it.*\['{stray}'\]"):
        class_folders.find(root)


def test_a_class_name_that_is_not_utf_8_is_refused(images):
    root = images(glass=2, metal=1)
    os.rename(bytes(root / "metal"), bytes(root) + b"/m\xffll")  # noqa: PTH104 - bytes
    with pytest.raises(UserError, match=r"must be UTF-8.*m.*udcff"):
        class_folders.find(root)
