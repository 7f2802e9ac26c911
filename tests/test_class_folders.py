import pytest

from realwaste import class_folders
from realwaste.errors import UserError


@pytest.mark.parametrize("inside", ["set", "set/realwaste-main/RealWaste"])
def test_classes_are_found_at_any_depth(images, inside):
    root = images(inside=inside, glass=3, metal=2)
    (root / "readme.txt").write_text("words")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX/x.jpg").write_bytes(b"x")
    (root / ".hidden").mkdir()
    found = class_folders.find(root)
    assert {label: len(files) for label, files in found.files.items()} == {"glass": 3, "metal": 2}
    assert found.images == 5


def test_copies_are_equal_and_the_source_untouched(images, tmp_path):
    root = images(glass=2, metal=1)
    (root / "glass/Thumbs.db").write_bytes(b"x")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    class_folders.copy(class_folders.find(root), tmp_path / "raw")
    copied = sorted(path.relative_to(tmp_path / "raw").as_posix() for path in (tmp_path / "raw").rglob("*.*"))
    assert copied == ["glass/glass_1.jpg", "glass/glass_2.jpg", "metal/metal_1.jpg"]
    assert (tmp_path / "raw/glass/glass_1.jpg").read_bytes() == (root / "glass/glass_1.jpg").read_bytes()
    assert (tmp_path / "raw/glass/glass_1.jpg").stat().st_ino != (root / "glass/glass_1.jpg").stat().st_ino
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_copying_again_replaces_what_was_there(images, tmp_path):
    found = class_folders.find(images(glass=2, metal=1))
    (tmp_path / "raw/old").mkdir(parents=True)
    class_folders.copy(found, tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["glass", "metal"]


def test_an_empty_class_is_named(images):
    root = images(glass=2, metal=1)
    (root / "paper").mkdir()
    with pytest.raises(UserError, match="'paper' holds none"):
        class_folders.find(root)


def test_one_class_is_too_few(images):
    with pytest.raises(UserError, match="two classes at least"):
        class_folders.find(images(glass=2))


def test_images_already_split_are_ambiguous(images):
    images(inside="set/train", glass=2, metal=1)
    root = images(inside="set/test", glass=2, metal=1)
    with pytest.raises(UserError, match=r"in one place.*\['test', 'train'\]"):
        class_folders.find(root)
