"""Which files of a folder are images: links are followed and system files skipped, in every command and stage."""

import os
from pathlib import Path

import pytest

from realwaste.cli import image_paths, output_options
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.sources import class_folders, image_files, labelled_images


@pytest.fixture
def skip_log(monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    return caplog


def _find_names_by_class(root: Path, for_training: bool = True) -> dict[str, list[str]]:
    folders = class_folders.find(root, for_training=for_training)
    return {label: [file.name for file in files] for label, files in folders.files.items()}


def _find_for_prediction(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in image_paths.find_images([str(root)])]


def test_a_linked_folder_is_a_part_of_the_split(images):
    root = images(inside="set/train", glass=3, metal=3)
    images(inside="set/test", glass=1, metal=1)
    images(inside="elsewhere/valid", glass=2, metal=2)
    (root / "valid").symlink_to("../elsewhere/valid")
    folders = class_folders.find(root)
    assert sorted(folders.parts.values()) == ["test"] * 2 + ["train"] * 6 + ["val"] * 4


def test_predict_follows_each_link_once_and_warns_of_the_others(images, tmp_path, skip_log):
    root = images(glass=1, metal=1)
    images(inside="elsewhere/deep", paper=1)
    (root / "a_link").symlink_to(tmp_path / "elsewhere")
    (root / "glass/back").symlink_to(root)
    (root / "twice").symlink_to(root / "metal")
    (root / "gone.jpg").symlink_to("nowhere")
    expected = ["a_link/deep/paper/paper_1.jpg", "glass/glass_1.jpg", "metal/metal_1.jpg"]
    assert _find_for_prediction(root) == expected
    for name, reason in (("glass/back", "already"), ("twice", "already"), ("gone.jpg", "leads nowhere")):
        assert any(f"{root / name} is skipped" in line and reason in line for line in skip_log.messages)
    assert len(skip_log.messages) == 3
    names = [path.name for path in image_paths.find_images([f"{root}/**/*.jpg"])]
    assert sorted(names) == ["glass_1.jpg", "metal_1.jpg", "paper_1.jpg"]
    with pytest.raises(UserError, match="outside of those with the photos"):
        output_options.check_folder("--overlay", tmp_path / "elsewhere/new", [str(root)], [])


@pytest.mark.parametrize(("link", "target"), [("valid", "train"), ("glass/back", "."), ("valid", "nowhere")])
def test_fetch_names_a_link_that_leads_to_no_further_images(images, link, target):
    root = images(inside="set/train", glass=2, metal=2)
    images(inside="set/glass", x=1)
    (root / link).symlink_to(root / target)
    with pytest.raises(UserError, match=rf"not among them already\. Received: .*{link}: "):
        class_folders.find(root)


SYSTEM_FILES = [
    *("lost+found", "System Volume Information", "#recycle", "$RECYCLE.BIN", ".Trash-1000", ".Trashes", "__MACOSX"),
    *("@eaDir", "@EADIR", "@Recycle", "glass/@eaDir/glass_1.jpg", "metal/@eaDir", "glass/.@__thumb"),
]


@pytest.mark.parametrize("with_pictures", [True, False])
def test_system_files_are_neither_classes_nor_photographs(images, with_pictures, skip_log):
    root = images(glass=2, metal=1)
    expected = _find_names_by_class(root)
    for name in SYSTEM_FILES:
        (root / name).mkdir(parents=True)
        if with_pictures:
            (root / name / "SYNOPHOTO_THUMB_M.jpg").write_bytes(b"x")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "Icon\r", "glass/Icon\r", "glass/Thumbs.db", "glass/._1.jpg"):
        (root / name).write_bytes(b"x")
    assert _find_names_by_class(root) == _find_names_by_class(root, for_training=False) == expected
    with labelled_images.open_labelled_images(str(root)) as (labelled, _):
        assert list(labelled.folders.files) == ["glass", "metal"]
    assert _find_for_prediction(root) == ["glass/glass_1.jpg", "glass/glass_2.jpg", "metal/metal_1.jpg"]
    assert len(image_paths.find_images([f"{root}/**"])) == 3
    assert skip_log.messages == []


def test_an_unreadable_folder_is_named(images, monkeypatch, skip_log):
    root, scandir = images(glass=1, metal=1, paper=1), os.scandir

    def scandir_with_errors(path="."):
        if str(path).endswith(("metal", "lost+found")):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    (root / "lost+found").mkdir()
    monkeypatch.setattr(os, "scandir", scandir_with_errors)
    assert _find_for_prediction(root) == ["glass/glass_1.jpg", "paper/paper_1.jpg"]
    assert skip_log.messages == [f"{root}/metal is skipped: it cannot be read: Permission denied"]
    with pytest.raises(UserError, match=r"metal: it cannot be read: Permission denied.*\n"):
        class_folders.find(root)


@pytest.mark.parametrize("pattern", ["", "/*", "/*/*.jpg", "/**"])
def test_an_unreachable_photograph_is_named(images, monkeypatch, skip_log, pattern):
    """In a folder that may be listed but whose files may not be accessed."""
    root, stat = images(glass=1, metal=1), os.stat

    def stat_with_errors(path, *arguments, **options):
        if str(path).endswith("metal_1.jpg"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat_with_errors)
    assert [path.name for path in image_paths.find_images([f"{root}{pattern}"])] == ["glass_1.jpg"]
    assert f"{root}/metal/metal_1.jpg is skipped: it cannot be read: Permission denied" in skip_log.messages


@pytest.mark.parametrize("name", ["1.jfif", "1.JPE", "1.Jpeg"])
def test_every_jpeg_suffix_is_an_image(name):
    assert image_files.is_image(Path(name))
