import pandas as pd
import pytest

from realwaste.core.errors import UserError
from realwaste.dataset import split
from realwaste.dataset.labels import PARTS
from realwaste.sources.realwaste_files import COUNTS

RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}


def test_a_stratified_split_of_realwaste_has_the_published_counts_and_depends_on_the_seed(realwaste_manifest):
    splits = split.stratified(realwaste_manifest, **RATIOS, seed=42)
    summary = split.summarize(splits)
    assert [summary[part] for part in PARTS] == [2850, 951, 951]
    assert list(summary["classes"]["test"].values()) == [92, 82, 84, 158, 99, 100, 185, 64, 87]
    assert list(summary["classes"]["test"]) == list(COUNTS)
    assert list(splits["path"]) == list(realwaste_manifest["path"])
    same, other = (split.stratified(realwaste_manifest, **RATIOS, seed=seed) for seed in (42, 43))
    pd.testing.assert_frame_equal(splits, same)
    assert (splits["split"] != other["split"]).any()


@pytest.mark.parametrize(
    ("counts", "ratios", "message"),
    [
        ({"a": 10, "b": 10, "tiny": 2}, RATIOS, r"3 images at least.*tiny"),
        ({"a": 50, "b": 50, "rare": 3}, {"train": 0.9, "val": 0.05, "test": 0.05}, r"'rare' has no image in"),
        (
            {"a": 3, "b": 3, "c": 3},
            {"train": 0.8, "val": 0.1, "test": 0.1},
            r"enough to give every class a place.*Received: {'images': 9, 'classes': 3}",
        ),
    ],
)
def test_too_few_images_are_refused(counts, ratios, message):
    labels = [label for label, count in counts.items() for _ in range(count)]
    with pytest.raises(UserError, match=message):
        split.stratified(pd.DataFrame({"path": range(len(labels)), "label": labels}), **ratios, seed=42)


def test_a_deviating_part_is_reported():
    table = pd.DataFrame({"path": range(12), "label": list("aaaabbbbcccc")})
    splits = split.stratified(table, **RATIOS, seed=42)
    deviation = split.describe_deviation(splits, RATIOS)
    assert deviation is not None
    assert deviation.startswith("a part deviates by 10.0 percentage points from its share; ")
    balanced = pd.concat([splits] * 10).assign(split=["train"] * 72 + ["val"] * 24 + ["test"] * 24)
    assert split.describe_deviation(balanced, RATIOS) is None
