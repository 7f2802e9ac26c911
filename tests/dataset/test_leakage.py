"""Leakage between the parts of a split, and grouped splits, which avoid it."""

from itertools import product
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from realwaste.core.errors import UserError
from realwaste.dataset import leakage, manifest, perceptual_hash, split
from realwaste.images.reader import decode_image
from realwaste.sources import synthetic

RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}


def _split_by_groups(table: pd.DataFrame, seed: int, block: int = 10) -> pd.DataFrame:
    return split.grouped(table, leakage.assign_groups(table, block), **RATIOS, seed=seed)


def _measure_exposure(splits: pd.DataFrame) -> dict[str, Any]:
    return leakage.measure_exposure(splits, leakage.find_near_duplicates(splits))


def _hash_distance(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


@pytest.fixture(scope="module")
def synthetic_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    synthetic.generate(root, images_per_class=40, seed=3)
    return root


def _list_objects(labels: pd.Series, positions: pd.Series) -> pd.Series:
    """The object that each photograph of the synthetic set shows, by its position in capture order."""
    objects_of_class = {name: synthetic.object_numbers(3, index, 40) for index, name in enumerate(synthetic.CLASSES)}
    pairs = zip(labels, positions, strict=True)
    return pd.Series([f"{label} {objects_of_class[label][position - 1]}" for label, position in pairs])


@pytest.fixture(scope="module")
def synthetic_set(synthetic_folder):
    """The manifest of a synthetic set, and the object that each file shows."""
    table, rejected, _ = manifest.scan(synthetic_folder)
    assert rejected.empty
    return table, _list_objects(table["label"], table["number"])


def test_many_near_duplicates_of_each_other_are_grouped_in_seconds():
    """All 280,000 pairs of 750 images are near-duplicates. Searching all rows for each pair took a minute."""
    count = 750
    paths = [f"{number % 2}/{number}.jpg" for number in range(count)]
    hashes = [f"{number:064}" for number in range(count)]
    table = pd.DataFrame({"path": paths, "label": [path[0] for path in paths], "sha256": hashes})
    table = table.assign(phash="0" * 16, phash_mirrored="0" * 16, series=None)
    table[["likeness", "likeness_second", "likeness_far"]] = np.nan
    table["shot"] = pd.array([None] * count, dtype="Int64")
    sizes = np.bincount(leakage.assign_groups(table, 10))
    assert sizes.sum() == count
    assert sizes.max() <= leakage.MAX_GROUP_SHARE * count / 2
    assert len(sizes) < count / 10


def test_scaling_and_compression_keep_the_perceptual_hash():
    same_distances, other_distances = [], []
    for seed in range(30):
        pixels = picture(seed, 300, 400)
        original = perceptual_hash.compute_fingerprint(pixels)
        encoded = cv2.imencode(".jpg", cv2.resize(pixels, (200, 180)), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        recompressed = perceptual_hash.compute_fingerprint(decode_image(encoded.tobytes())[..., ::-1])
        same_distances.append(_hash_distance(original.phash, recompressed.phash))
        other = perceptual_hash.compute_fingerprint(picture(seed + 100, 300, 400))
        other_distances.append(_hash_distance(original.phash, other.phash))
        flipped = perceptual_hash.compute_fingerprint(np.ascontiguousarray(pixels[:, ::-1]))
        assert (flipped.phash, flipped.mirrored) == (original.mirrored, original.phash)
    assert max(same_distances) <= leakage.MAX_HASH_DISTANCE < min(other_distances)


def test_color_similarity_shows_photographs_of_one_object(synthetic_set):
    table, objects = synthetic_set
    likeness = table["likeness"]
    previous = table.assign(object=objects).sort_values(["series", "number"])["object"].shift().reindex(table.index)
    is_same_object = objects == previous
    assert likeness[is_same_object].median() > 0.9
    assert likeness[~is_same_object].median() < 0.5
    assert likeness.isna().sum() == len(synthetic.CLASSES), "the first file of each class has none before it"


@pytest.mark.parametrize(
    ("path", "series", "number"),
    [
        ("Glass/Glass_12.jpg", "Glass/Glass_*", 12),
        ("a/IMG007.JPG", "a/IMG*", 7),
        ("a/3 (copy).png", "a/* (copy)", 3),
        ("a/2024_05_31.jpg", "a/2024_05_*", 31),  # the last of several numbers is used
        ("a/none.jpg", None, None),
        ("PET1/none.jpg", None, None),  # digits in the name of the folder are ignored
        ("PET1/b/none", None, None),
        ("PET1/a_2.jpg", "PET1/a_*", 2),
        ("紙/紙１.jpg", "紙/紙*", 1),
    ],
)
def test_series_and_number_come_from_the_name(path, series, number):
    row = leakage.parse_file_numbers(pd.Series([path])).iloc[0]
    assert (row["series"], None if row["number"] is pd.NA else row["number"]) == (series, number)


def test_a_grouped_split_keeps_each_object_in_one_part(synthetic_set):
    table, objects = synthetic_set
    random_split = split.stratified(table, **RATIOS, seed=42)
    grouped = _split_by_groups(table, seed=42)
    split_objects_random, split_objects_grouped = (
        (splits.groupby(objects)["split"].nunique() > 1).sum() for splits in (random_split, grouped)
    )
    assert split_objects_random > 50
    assert split_objects_grouped == 0
    random_exposure, exposure = _measure_exposure(random_split), _measure_exposure(grouped)
    assert random_exposure["neighbour_within_1"] > 0.7
    assert exposure["neighbour_within_1"] < 0.2
    assert exposure["near_duplicates"] == 0
    assert set(pd.crosstab(grouped["label"], grouped["split"]).min()) != {0}


def test_a_set_numbered_as_text_is_grouped_by_capture_order(synthetic_folder, tmp_path):
    """The synthetic set, renamed as the files of RealWaste were: sorted as text and numbered again."""
    by_text = sorted(range(1, 41), key=str)
    for folder in synthetic_folder.iterdir():
        (tmp_path / folder.name).mkdir()
        for number, shot in enumerate(by_text, start=1):
            source = folder / f"{folder.name}_{shot}.jpg"
            (tmp_path / folder.name / f"{folder.name}_{number}.jpg").hardlink_to(source)
    table, _, order = manifest.scan(tmp_path)
    assert (order["order"], order["p"] < 0.01) == ("text", True)
    assert [by_text[number - 1] for number in table["number"]] == table["shot"].tolist()
    objects, groups = _list_objects(table["label"], table["shot"]), leakage.assign_groups(table, 10)
    assert (objects.groupby(objects).apply(lambda rows: len(set(groups[rows.index]))) == 1).mean() > 0.9


def _numbered_manifest(paths: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hashes = [f"{int(value):016x}" for value in rng.integers(0, 2**63, len(paths))]
    labels = [path.split("/")[0] for path in paths]
    table = pd.DataFrame({"path": paths, "label": labels, "phash": hashes, "phash_mirrored": hashes})
    table[["series", "number"]] = leakage.parse_file_numbers(table["path"])
    table["sha256"] = [f"{number:x}" for number in range(len(paths))]
    likeness, likeness_second = rng.random((2, len(paths)))
    table = table.assign(likeness=likeness, likeness_second=likeness_second, likeness_far=likeness / 10)
    return table.assign(shot=table["number"])


def test_a_grouped_split_of_realwaste_keeps_the_shares(realwaste_manifest):
    table = _numbered_manifest(realwaste_manifest["path"].tolist())
    groups = leakage.assign_groups(table, 10)
    grouped, again, other = (split.grouped(table, groups, **RATIOS, seed=seed) for seed in (42, 42, 43))
    shares = grouped["split"].value_counts(normalize=True)
    class_shares = pd.crosstab(grouped["label"], grouped["split"], normalize="index")
    for part, share in RATIOS.items():
        assert shares[part] == pytest.approx(share, abs=0.02)
        assert class_shares[part].to_numpy() == pytest.approx(share, abs=0.02)
    pd.testing.assert_frame_equal(grouped, again)
    assert (other["split"] != grouped["split"]).any()
    assert list(grouped["path"]) == list(table["path"])


@pytest.mark.parametrize("seed", range(5))
def test_a_small_set_has_every_class_in_every_part(seed):
    """Nine classes of 40 images, as in the synthetic set: each has four runs, and every part needs one of them."""
    table = _numbered_manifest([f"{label}/{label}_{number}.jpg" for label in "abcdefghi" for number in range(1, 41)])
    grouped = _split_by_groups(table.assign(likeness=np.random.default_rng(seed).random(len(table))), seed)
    assert pd.crosstab(grouped["label"], grouped["split"]).to_numpy().min() > 0
    shares = grouped["split"].value_counts(normalize=True)
    assert all(shares[part] == pytest.approx(share, abs=0.1) for part, share in RATIOS.items())


@pytest.mark.parametrize(("block", "count"), [(2, 100), (5, 100), (10, 100), (30, 100), *product((2, 3), (5, 7, 13))])
def test_runs_have_about_one_block_and_contain_every_file(block, count):
    table = _numbered_manifest([f"a/a_{number}.jpg" for number in range(count)] + ["a/alone.jpg"])
    sizes = np.bincount(leakage.assign_groups(table, block))
    assert sizes.sum() == count + 1
    assert sizes[-1] == 1
    assert max(block // 2, 1) <= sizes[:-1].min() <= sizes[:-1].max() < max(2, block + block // 2)


def test_runs_are_cut_between_the_least_similar_neighbors():
    table = _numbered_manifest([f"a/a_{number:02}.jpg" for number in range(1, 21)])
    table = table.assign(likeness=0.9, likeness_second=0.9)
    table.loc[[11], "likeness"] = 0.1
    groups = leakage.assign_groups(table, 10)
    assert groups.tolist() == [groups[0]] * 11 + [1 - groups[0]] * 9


def test_a_short_series_is_grouped_by_similarity():
    """Twelve files of each of six classes: four objects, photographed three times each."""
    table = _numbered_manifest([f"{label}/{label}{number:02}.jpg" for label in "abcdef" for number in range(1, 13)])
    same_object = np.tile([False, True, True], 24)
    table = table.assign(likeness=np.where(same_object, 0.9, 0.3), likeness_second=0.3, likeness_far=0.4)
    groups = leakage.assign_groups(table, 10)
    assert np.bincount(groups).tolist() == [3] * 24
    unrelated = table.assign(likeness_far=table["likeness"])
    assert len(set(leakage.assign_groups(unrelated, 10))) == 72, "neighbours are not more similar than other images"


def test_files_of_a_series_with_gaps_are_grouped_by_their_distance():
    """Every fifth of 60 files exists, so a run of ten photographs has two of them."""
    table = _numbered_manifest([f"a/a_{5 * number:02}.jpg" for number in range(1, 13)])
    assert np.bincount(leakage.assign_groups(table, 10)).tolist() == [2] * 6


def test_duplicates_and_near_duplicates_are_in_one_group():
    table = _numbered_manifest([f"a/x{chr(97 + number)}.jpg" for number in range(6)])
    table.loc[3, "sha256"] = table.loc[0, "sha256"]
    table.loc[4, "phash"] = f"{int(table.loc[1, 'phash'], 16) ^ 0b111:016x}"
    table.loc[5, "phash_mirrored"] = table.loc[2, "phash"]
    groups = leakage.assign_groups(table, 10)
    assert groups[:3].tolist() == groups[3:].tolist()
    assert len(set(groups)) == 3


def test_a_group_never_spans_classes(tmp_path):
    """Folder names with digits and file names without; then duplicates and near-duplicates in another class."""
    for label in ("PET1", "PET2", "PET3"):
        (tmp_path / label).mkdir()
        for name in "abcdefgh":
            cv2.imwrite(str(tmp_path / label / f"{name}.png"), picture(ord(name) * int(label[-1])))
    table = manifest.scan(tmp_path).manifest
    assert table["series"].isna().all()
    assert len(set(leakage.assign_groups(table, 10))) == len(table)

    table = _numbered_manifest([f"a/a_{number}.jpg" for number in range(1, 21)] + ["b/b.jpg", "b/c.jpg"])
    table.loc[20, "phash"] = table.loc[5, "phash"]  # a near-duplicate of a photograph in another class
    table.loc[21, "sha256"] = table.loc[5, "sha256"]
    groups = leakage.assign_groups(table, 10)
    assert (table["label"].groupby(groups).nunique() == 1).all()
    assert len(set(groups)) == 4


def test_exposure_counts_duplicates_and_neighbors():
    table = _numbered_manifest(["a/1.jpg", "a/2.jpg", "a/4.jpg", "a/9.jpg", "b/1.jpg", "b/none.jpg"])
    splits = table.assign(split=["train", "test", "train", "test", "val", "test"])
    shares = {"neighbour_within_1": round(1 / 3, 4), "neighbour_within_2": round(1 / 3, 4)}
    assert _measure_exposure(splits) == {"exact_duplicates": 0, "near_duplicates": 0, **shares}
    splits.loc[3, "sha256"] = splits.loc[4, "sha256"]
    splits.loc[5, "phash"] = splits.loc[0, "phash"]
    exposure = _measure_exposure(splits)
    assert (exposure["exact_duplicates"], exposure["near_duplicates"]) == (1, 1)


def test_a_class_of_one_group_is_refused():
    table = _numbered_manifest([f"{label}/{label}_{number}.jpg" for label in "ab" for number in range(20)])
    table.loc[table["label"] == "a", "sha256"] = "same"
    with pytest.raises(UserError, match=r"'a' has no image in.*\n.*a smaller split\.block"):
        _split_by_groups(table, seed=1, block=2)
