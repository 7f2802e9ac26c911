import pandas as pd
import pytest

from realwaste.core.errors import UserError
from realwaste.dataset import split
from realwaste.dataset.labels import PARTS

RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}


def test_realwaste_has_the_reports_counts_and_supports(realwaste_manifest):
    splits = split.stratified(realwaste_manifest, **RATIOS, seed=42)
    summary = split.summarize(splits)
    assert [summary[part] for part in PARTS] == [2850, 951, 951]
    assert summary["classes"]["test"] == {
        "Cardboard": 92,
        "Food Organics": 82,
        "Glass": 84,
        "Metal": 158,
        "Miscellaneous Trash": 99,
        "Paper": 100,
        "Plastic": 185,
        "Textile Trash": 64,
        "Vegetation": 87,
    }


def test_every_image_is_in_one_part_and_the_order_stays(realwaste_manifest):
    splits = split.stratified(realwaste_manifest, **RATIOS, seed=1)
    assert list(splits["path"]) == list(realwaste_manifest["path"])
    assert set(splits["split"]) == set(PARTS)


def test_the_split_depends_on_the_seed(realwaste_manifest):
    first, same, other = (split.stratified(realwaste_manifest, **RATIOS, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, same)
    assert (first["split"] != other["split"]).any()


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_that_is_too_small_is_named(count):
    table = pd.DataFrame({"path": range(20 + count), "label": ["a"] * 10 + ["b"] * 10 + ["tiny"] * count})
    with pytest.raises(UserError, match=r"3 images at least.*tiny"):
        split.stratified(table, **RATIOS, seed=42)


def test_a_class_that_misses_a_part_is_named():
    table = pd.DataFrame({"path": range(103), "label": ["a"] * 50 + ["b"] * 50 + ["rare"] * 3})
    with pytest.raises(UserError, match=r"'rare' has no image in"):
        split.stratified(table, train=0.9, val=0.05, test=0.05, seed=42)


def test_too_few_images_for_the_classes():
    table = pd.DataFrame({"path": range(9), "label": list("aaabbbccc")})
    with pytest.raises(UserError, match="enough to give every class a place") as error:
        split.stratified(table, train=0.8, val=0.1, test=0.1, seed=42)
    assert "Received: {'images': 9, 'classes': 3}." in str(error.value), "in our words, not scikit-learn's"


def test_a_deviating_part_is_reported_with_a_better_block():
    ratios = {"train": 0.6, "val": 0.2, "test": 0.2}
    table = pd.DataFrame({"path": range(12), "label": list("aaaabbbbcccc")})
    splits = split.stratified(table, **RATIOS, seed=42)
    assert split.describe_deviation(splits, ratios, lambda _: None) == (
        "a part deviates by 10.0 percentage points from its share; with so few images no split comes closer"
    )
    assert "; split.block=4 comes closer" in str(split.describe_deviation(splits, ratios, lambda _: 4))
    assert "; split.block=2 comes closer" in str(
        split.describe_deviation(
            splits, ratios, lambda max_deviation: None if max_deviation == split.MAX_DEVIATION else 2
        )
    )
    balanced = pd.concat([splits] * 10).assign(split=["train"] * 72 + ["val"] * 24 + ["test"] * 24)
    assert split.describe_deviation(balanced, ratios, lambda _: 4) is None
