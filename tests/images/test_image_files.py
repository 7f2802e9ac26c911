"""What a folder of photographs holds: links followed, what systems leave behind passed over, by every way in alike."""

import os
import zipfile
from pathlib import Path

import pytest

from realwaste.cli import image_paths, output_options
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.sources import class_folders, image_files, labelled_images
from realwaste.sources.archive import extract


@pytest.fixture
def warnings(monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    return caplog


def _found(root: Path, learned: bool = True) -> dict[str, list[str]]:
    found = class_folders.find(root, learned=learned)
    return {label: [file.name for file in files] for label, files in found.files.items()}


def _predicted(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in image_paths.find_images([str(root)])]


def test_a_linked_part_is_a_part(images):
    root = images(inside="set/train", glass=3, metal=3)
    images(inside="set/test", glass=1, metal=1)
    images(inside="elsewhere/valid", glass=2, metal=2)
    (root / "valid").symlink_to("../elsewhere/valid")
    found = class_folders.find(root)
    assert sorted(found.parts.values()) == ["test"] * 2 + ["train"] * 6 + ["val"] * 4


def test_predict_follows_links_once_and_says_what_it_leaves_out(images, tmp_path, warnings):
    root = images(glass=1, metal=1)
    images(inside="elsewhere/deep", paper=1)
    (root / "a_link").symlink_to(tmp_path / "elsewhere")
    (root / "glass/back").symlink_to(root)
    (root / "twice").symlink_to(root / "metal")
    (root / "gone.jpg").symlink_to("nowhere")
    expected = ["a_link/deep/paper/paper_1.jpg", "glass/glass_1.jpg", "metal/metal_1.jpg"]
    assert _predicted(root) == expected
    for name, reason in (("glass/back", "already"), ("twice", "already"), ("gone.jpg", "leads nowhere")):
        assert any(f"{root / name} is passed over" in line and reason in line for line in warnings.messages)
    assert len(warnings.messages) == 3
    pattern = [path.name for path in image_paths.find_images([f"{root}/**/*.jpg"])]
    assert sorted(pattern) == ["glass_1.jpg", "metal_1.jpg", "paper_1.jpg"]
    with pytest.raises(UserError, match="outside of those with the photos"):
        output_options.check_folder("--overlay", tmp_path / "elsewhere/new", [str(root)], [])


@pytest.mark.parametrize(("link", "target"), [("valid", "train"), ("glass/back", "."), ("valid", "nowhere")])
def test_a_link_that_leads_to_no_further_images_stops_fetch_by_name(images, link, target):
    root = images(inside="set/train", glass=2, metal=2)
    images(inside="set/glass", x=1)
    (root / link).symlink_to(root / target)
    with pytest.raises(UserError, match=rf"not among them already\. Received: .*{link}: "):
        class_folders.find(root)


LEFT_BEHIND = [
    *("lost+found", "System Volume Information", "#recycle", "$RECYCLE.BIN", ".Trash-1000", ".Trashes", "__MACOSX"),
    *("@eaDir", "@EADIR", "@Recycle", "glass/@eaDir/glass_1.jpg", "metal/@eaDir", "glass/.@__thumb"),
]


@pytest.mark.parametrize("with_pictures", [True, False])
def test_what_systems_leave_is_no_class_and_no_photograph(images, with_pictures, warnings):
    root = images(glass=2, metal=1)
    expected = _found(root)
    for name in LEFT_BEHIND:
        (root / name).mkdir(parents=True)
        if with_pictures:
            (root / name / "SYNOPHOTO_THUMB_M.jpg").write_bytes(b"x")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "Icon\r", "glass/Icon\r", "glass/Thumbs.db", "glass/._1.jpg"):
        (root / name).write_bytes(b"x")
    assert _found(root) == _found(root, learned=False) == expected
    with labelled_images.opened(str(root)) as opened:
        assert opened.folders == ("glass", "metal")
    assert _predicted(root) == ["glass/glass_1.jpg", "glass/glass_2.jpg", "metal/metal_1.jpg"]
    assert len(image_paths.find_images([f"{root}/**"])) == 3
    assert warnings.messages == []


def test_a_zip_leaves_out_what_a_folder_does(images, tmp_path):
    root = images(glass=1, metal=1)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as bundle:
        for path in root.rglob("*.jpg"):
            bundle.write(path, path.relative_to(root))
        for name in LEFT_BEHIND:
            bundle.writestr(f"{name}/x.jpg", "x")
        for name in ("Icon\r", "glass/Icon\r", "__MACOSX/glass/._Icon\r", "glass/desktop.ini"):
            bundle.writestr(name, "x")
    files = extract(tmp_path / "set.zip", tmp_path / "out")
    assert [file.name for file in files] == ["glass_1.jpg", "metal_1.jpg"]
    assert _found(tmp_path / "out") == {"glass": ["glass_1.jpg"], "metal": ["metal_1.jpg"]}


def test_a_folder_that_cannot_be_read_is_named(images, monkeypatch, warnings):
    root, scan = images(glass=1, metal=1, paper=1), os.scandir

    def refusing(path="."):
        if str(path).endswith(("metal", "lost+found")):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    (root / "lost+found").mkdir()
    monkeypatch.setattr(os, "scandir", refusing)
    assert _predicted(root) == ["glass/glass_1.jpg", "paper/paper_1.jpg"]
    assert warnings.messages == [f"{root}/metal is skipped: it cannot be read: Permission denied"]
    with pytest.raises(UserError, match=r"metal: it cannot be read: Permission denied.*\n"):
        class_folders.find(root)


@pytest.mark.parametrize("pattern", ["", "/*", "/*/*.jpg", "/**"])
def test_a_photograph_that_cannot_be_reached_is_named(images, monkeypatch, warnings, pattern):
    """In a folder that may be listed and not looked into."""
    root, look = images(glass=1, metal=1), os.stat

    def refusing(path, *rest, **named):
        if str(path).endswith("metal_1.jpg"):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *rest, **named)

    monkeypatch.setattr(os, "stat", refusing)
    assert [path.name for path in image_paths.find_images([f"{root}{pattern}"])] == ["glass_1.jpg"]
    assert f"{root}/metal/metal_1.jpg is skipped: it cannot be read: Permission denied" in warnings.messages


@pytest.mark.parametrize("name", ["1.jfif", "1.JPE", "1.Jpeg"])
def test_every_name_of_a_jpeg_is_one(name):
    assert image_files.is_image(Path(name))
