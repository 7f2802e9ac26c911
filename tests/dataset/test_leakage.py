"""What a test set knows of its training set, and the split that keeps it from knowing."""

import re
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from realwaste.core.errors import UserError
from realwaste.dataset import grouped_runs, leakage, manifest, perceptual_hash, split
from realwaste.images.reader import decode_image
from realwaste.sources import synthetic

RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}


def _groups(table: pd.DataFrame, block: int) -> np.ndarray:
    return leakage.groups(table, block)


def _grouped(table: pd.DataFrame, seed: int, block: int = 10) -> pd.DataFrame:
    return split.grouped(table, _groups(table, block), **RATIOS, seed=seed)


def _exposure(splits: pd.DataFrame) -> dict[str, Any]:
    return leakage.exposure(splits, leakage.near_duplicates(splits))


def _distance(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The synthetic set's manifest, with the object that each file shows."""
    root = tmp_path_factory.mktemp("drawn")
    synthetic.generate(root, images_per_class=40, seed=3)
    table, rejected, _ = manifest.scan(root)
    assert rejected.empty
    shown = {name: synthetic.reshot_groups(3, index, 40) for index, name in enumerate(synthetic.CLASSES)}
    objects = [f"{row.label} {shown[row.label][row.number - 1]}" for row in table.itertuples()]
    return table, pd.Series(objects)


def test_pictures_that_are_all_alike_are_grouped_pair_by_pair_in_seconds():
    """Every pair is near: 280,000 of 750, each of which was looked up among all rows (a minute)."""
    count = 750
    alike = {
        "phash": "0" * 16,
        "phash_mirrored": "0" * 16,
        "series": None,
        "likeness": np.nan,
        "likeness_second": np.nan,
    }
    table = pd.DataFrame({"label": np.arange(count) % 2, "sha256": [f"{n:064}" for n in range(count)]}).assign(**alike)
    table["shot"] = pd.array([None] * count, dtype="Int64")
    sizes = np.bincount(leakage.groups(table, 10))
    assert sizes.sum() == count
    assert sizes.max() <= leakage.LARGEST * count / 2
    assert len(sizes) < count / 10


def test_a_picture_scaled_or_compressed_anew_keeps_its_hash():
    near, far = [], []
    for seed in range(30):
        pixels = picture(seed, 300, 400)
        own = perceptual_hash.of(pixels)
        encoded = cv2.imencode(".jpg", cv2.resize(pixels, (200, 180)), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        again = perceptual_hash.of(decode_image(encoded.tobytes())[..., ::-1])
        near.append(_distance(own.phash, again.phash))
        far.append(_distance(own.phash, perceptual_hash.of(picture(seed + 100, 300, 400)).phash))
        flipped = perceptual_hash.of(np.ascontiguousarray(pixels[:, ::-1]))
        assert (flipped.phash, flipped.mirrored) == (own.mirrored, own.phash)
    assert max(near) <= leakage.NEAR < min(far)


def test_colours_tell_an_object_photographed_again(drawn):
    table, objects = drawn
    likeness = table["likeness"]
    before = table.assign(object=objects).sort_values(["series", "number"])["object"].shift().reindex(table.index)
    same = objects == before
    assert likeness[same].median() > 0.9
    assert likeness[~same].median() < 0.5
    assert likeness.isna().sum() == len(synthetic.CLASSES), "the first file of each class has none before it"


@pytest.mark.parametrize(
    ("path", "series", "number"),
    [
        ("Glass/Glass_12.jpg", "Glass/Glass_*", 12),
        ("a/IMG007.JPG", "a/IMG*", 7),
        ("a/3 (copy).png", "a/* (copy)", 3),
        ("a/2024_05_31.jpg", "a/2024_05_*", 31),  # of several numbers the last counts up
        ("a/none.jpg", None, None),
        ("PET1/none.jpg", None, None),  # a folder's digits number no photograph
        ("PET1/b/none", None, None),
        ("PET1/a_2.jpg", "PET1/a_*", 2),
        ("紙/紙１.jpg", "紙/紙*", 1),
    ],
)
def test_series_and_number_come_from_the_name(path, series, number):
    row = leakage.numbered(pd.Series([path])).iloc[0]
    assert (row["series"], None if row["number"] is pd.NA else row["number"]) == (series, number)


def test_no_object_is_on_two_sides_of_a_grouped_split(drawn):
    table, objects = drawn
    random = split.stratified(table, **RATIOS, seed=42)
    grouped = _grouped(table, seed=42)
    across = [int((each.groupby(objects)["split"].nunique() > 1).sum()) for each in (random, grouped)]
    assert across[0] > 50
    assert across[1] == 0
    exposed = [_exposure(each) for each in (random, grouped)]
    assert exposed[0]["neighbour_within_1"] > 0.7
    assert exposed[1]["neighbour_within_1"] < 0.2
    assert exposed[1]["near_duplicates"] == 0
    assert set(pd.crosstab(grouped["label"], grouped["split"]).min()) != {0}


def _plain(paths: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hashes = [f"{int(value):016x}" for value in rng.integers(0, 2**63, len(paths))]
    labels = [path.split("/")[0] for path in paths]
    table = pd.DataFrame({"path": paths, "label": labels, "phash": hashes, "phash_mirrored": hashes})
    table[["series", "number"]] = leakage.numbered(table["path"])
    table["sha256"] = [f"{number:x}" for number in range(len(paths))]
    return table.assign(shot=table["number"], likeness=rng.random(len(paths)), likeness_second=rng.random(len(paths)))


def test_realwastes_parts_and_classes_keep_their_shares(realwaste_manifest):
    table = _plain(realwaste_manifest["path"].tolist())
    grouped = _grouped(table, seed=42)
    shares = grouped["split"].value_counts(normalize=True)
    of_classes = pd.crosstab(grouped["label"], grouped["split"], normalize="index")
    for part, share in RATIOS.items():
        assert shares[part] == pytest.approx(share, abs=0.02)
        assert of_classes[part].to_numpy() == pytest.approx(share, abs=0.02)
    again = _grouped(table, seed=42)
    pd.testing.assert_frame_equal(grouped, again)
    assert (_grouped(table, seed=43)["split"] != grouped["split"]).any()
    assert list(grouped["path"]) == list(table["path"])


@pytest.mark.parametrize("seed", range(5))
def test_a_small_set_has_every_class_in_every_part(seed):
    """Nine classes of 40 images, as the generated set has: four runs each, of which no part may get none."""
    table = _plain([f"{label}/{label}_{number}.jpg" for label in "abcdefghi" for number in range(1, 41)])
    grouped = _grouped(table.assign(likeness=np.random.default_rng(seed).random(len(table))), seed)
    assert pd.crosstab(grouped["label"], grouped["split"]).to_numpy().min() > 0
    shares = grouped["split"].value_counts(normalize=True)
    assert all(shares[part] == pytest.approx(share, abs=0.1) for part, share in RATIOS.items())


@pytest.mark.parametrize("block", [2, 5, 10, 30])
def test_runs_have_about_a_block_and_no_number_is_forgotten(block):
    table = _plain([f"a/a_{number}.jpg" for number in range(1, 101)] + ["a/alone.jpg"])
    sizes = np.bincount(_groups(table, block))
    assert sizes.sum() == 101
    assert sizes[-1] == 1
    assert max(block // 2, 1) <= sizes[:-1].min() <= sizes[:-1].max() < max(2, block + block // 2)


def test_runs_are_cut_where_neighbours_look_least_alike():
    table = _plain([f"a/a_{number:02}.jpg" for number in range(1, 21)]).assign(likeness=0.9, likeness_second=0.9)
    table.loc[[11], "likeness"] = 0.1
    groups = _groups(table, 10)
    assert (groups[:11] == groups[0]).all()
    assert (groups[11:] == groups[11]).all()
    assert groups[0] != groups[11]


def test_doubles_and_near_duplicates_are_one_group_wherever_they_are_filed():
    table = _plain([f"a/x{chr(97 + number)}.jpg" for number in range(6)])
    table.loc[3, "sha256"] = table.loc[0, "sha256"]
    table.loc[4, "phash"] = f"{int(table.loc[1, 'phash'], 16) ^ 0b111:016x}"
    table.loc[5, "phash_mirrored"] = table.loc[2, "phash"]
    groups = _groups(table, 10)
    assert groups[0] == groups[3]
    assert groups[1] == groups[4]
    assert groups[2] == groups[5]
    assert len(set(groups)) == 3


def test_a_group_never_spans_classes(tmp_path):
    """Folders with digits, names without; then every reason for which images are joined, across classes."""
    for label in ("PET1", "PET2", "PET3"):
        (tmp_path / label).mkdir()
        for name in "abcdefgh":
            cv2.imwrite(str(tmp_path / label / f"{name}.png"), picture(ord(name) * int(label[-1])))
    table = manifest.scan(tmp_path).manifest
    assert table["series"].isna().all()
    assert len(set(_groups(table, 10))) == len(table)

    table = _plain([f"a/a_{number}.jpg" for number in range(1, 21)] + ["b/b.jpg", "b/c.jpg"])
    table.loc[20, "phash"] = table.loc[5, "phash"]  # nearly the same picture as a photograph of another class
    table.loc[21, "sha256"] = table.loc[5, "sha256"]
    groups = _groups(table, 10)
    assert (table["label"].groupby(groups).nunique() == 1).all()
    assert len(set(groups)) == 4


def test_exposure_counts_what_it_names():
    table = _plain(["a/1.jpg", "a/2.jpg", "a/4.jpg", "a/9.jpg", "b/1.jpg", "b/none.jpg"])
    splits = table.assign(split=["train", "test", "train", "test", "val", "test"])
    assert _exposure(splits) == {
        "exact_duplicates": 0,
        "near_duplicates": 0,
        "neighbour_within_1": round(1 / 3, 4),
        "neighbour_within_2": round(1 / 3, 4),
    }
    splits.loc[3, "sha256"] = splits.loc[4, "sha256"]
    splits.loc[5, "phash"] = splits.loc[0, "phash"]
    facts = _exposure(splits)
    assert (facts["exact_duplicates"], facts["near_duplicates"]) == (1, 1)


def test_a_class_of_one_group_is_refused():
    table = _plain([f"{label}/{label}_{number}.jpg" for label in "ab" for number in range(20)])
    table.loc[table["label"] == "a", "sha256"] = "same"
    with pytest.raises(UserError, match="'a' has no image in"):
        _grouped(table, seed=1, block=2)


def _shots(count: int) -> pd.DataFrame:
    """Two classes of numbered photographs, none like another."""
    table = _plain([f"{label}/{label}_{number}.jpg" for label in "ab" for number in range(count)])
    order = np.random.default_rng(count).permutation(2**20)[: len(table)]
    return table.assign(
        phash=[f"{int(number) * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in order],
        phash_mirrored=[f"{int(number) * 0xC2B2AE3D27D4EB4F % 2**64:016x}" for number in order],
    )


@pytest.mark.parametrize("count", [6, 9, 12, 15])
def test_where_runs_are_too_long_for_a_class_the_remedy_names_a_block_that_works(count):
    table = _shots(count)
    near, drawn = leakage.near_duplicates(table), {**RATIOS, "seed": 42}
    with pytest.raises(UserError, match="has no image in") as refused:
        grouped_runs.grouped_in_runs(table, leakage.groups(table, 10, near), 10, near, **drawn)
    advised = re.search(r"-S split\.block=(\d+), or add images", refused.value.remedy)
    assert advised is not None, refused.value.remedy
    block = int(advised[1])
    splits = grouped_runs.grouped_in_runs(table, leakage.groups(table, block, near), block, near, **drawn)
    assert set(splits.groupby("label")["split"].nunique()) == {3}


def test_where_no_block_helps_none_is_named():
    table = _shots(20)
    table.loc[table["label"] == "a", "sha256"] = "same"
    near = leakage.near_duplicates(table)
    with pytest.raises(UserError) as refused:
        grouped_runs.grouped_in_runs(table, leakage.groups(table, 10, near), 10, near, **RATIOS, seed=42)
    assert "split.block" not in refused.value.remedy
