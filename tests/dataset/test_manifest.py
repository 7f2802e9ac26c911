import hashlib

import cv2
import pytest
from conftest import picture

from realwaste.core.errors import UserError
from realwaste.dataset import manifest


def test_rows_describe_the_images(images):
    root = images(glass=2, metal=1)
    accepted, rejected, _ = manifest.scan(root)
    assert list(accepted.columns) == manifest.COLUMNS
    assert list(accepted["path"]) == ["glass/glass_1.jpg", "glass/glass_2.jpg", "metal/metal_1.jpg"]
    data = (root / "metal/metal_1.jpg").read_bytes()
    last = accepted.iloc[-1]
    assert (last["label"], last["height"], last["width"], last["channels"]) == ("metal", 40, 40, 3)
    assert (last["sha256"], last["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert rejected.empty
    assert manifest.summarize(accepted, rejected)["classes"] == {"glass": 2, "metal": 1}
    assert manifest.summarize(accepted, rejected)["same_size"] is True
    cv2.imwrite(str(root / "metal/metal_2.jpg"), picture(1, height=20))
    summary = manifest.summarize(*manifest.scan(root)[:2])
    assert summary["same_size"] is False
    assert summary["height"] == {"min": 20, "max": 40}


def test_files_that_are_not_images_are_rejected_with_a_reason(images):
    root = images(glass=2, metal=1)
    (root / "glass/words.jpg").write_text("words")
    (root / "glass/folder.jpg").mkdir()
    accepted, rejected, _ = manifest.scan(root)
    assert len(accepted) == 3
    assert rejected["reason"].tolist() == ["not a regular file", "not an image"]
    with pytest.raises(UserError, match=r"2 are not: .*glass/words\.jpg \(not an image\)"):
        manifest.refuse_rejected(rejected)


def test_a_class_without_readable_images_is_refused(images):
    root = images(glass=2, metal=1)
    (root / "metal/metal_1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"keep at least one.*\['metal'\]"):
        manifest.refuse_empty_classes(*manifest.scan(root)[:2])
