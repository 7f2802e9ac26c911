import hashlib
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from realwaste.core.errors import UserError
from realwaste.images.reader import decode_image
from realwaste.sources import synthetic


def hash_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below `folder`, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def compute_histogram(picture: np.ndarray) -> np.ndarray:
    """The shares of 6x6x6 colours."""
    counts = cv2.calcHist([picture], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3).ravel()
    return counts / counts.sum()


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("synthetic")
    assert synthetic.generate(target, images_per_class=3, seed=42) == 27
    return target


def test_names_and_sizes_are_those_of_realwaste(generated):
    assert len(synthetic.CLASSES) == 9
    assert list(synthetic.CLASSES) == sorted(synthetic.CLASSES)
    expected = {f"{name}/{name}_{n}.jpg" for name in synthetic.CLASSES for n in (1, 2, 3)}
    assert set(hash_files(generated)) == expected
    for path in generated.rglob("*.jpg"):
        assert path.read_bytes().startswith(b"\xff\xd8\xff")
        assert decode_image(path.read_bytes()).shape == (524, 524, 3)


def test_bytes_depend_only_on_the_seed(generated, tmp_path):
    expected = hash_files(generated)
    assert len(set(expected.values())) == len(expected)
    synthetic.generate(tmp_path, images_per_class=1, seed=42)
    assert len(hash_files(tmp_path)) == 9
    assert hash_files(tmp_path).items() <= expected.items()
    synthetic.generate(tmp_path, images_per_class=3, seed=42)
    assert hash_files(tmp_path) == expected


def test_files_contain_the_rendered_pictures(generated):
    for index, name in enumerate(synthetic.CLASSES):
        objects = synthetic.object_numbers(42, index, 3)
        rendered = synthetic.render(42, index, objects[2], objects[:2].count(objects[2]))
        decoded = decode_image((generated / name / f"{name}_3.jpg").read_bytes())
        assert np.abs(decoded.astype(int) - rendered).mean() < 6  # what JPEG loses


def test_seed_class_object_and_shot_change_the_picture():
    keys = [(1, 2, 3, 0), (2, 2, 3, 0), (1, 3, 3, 0), (1, 2, 4, 0), (1, 2, 3, 1)]
    base, *other_pictures = [synthetic.render(*key) for key in keys]
    assert np.array_equal(base, synthetic.render(*keys[0]))
    assert not any(np.array_equal(base, other) for other in other_pictures)


def test_half_of_the_neighbours_show_one_object():
    objects_by_class = [synthetic.object_numbers(42, index, 100) for index in range(9)]
    shares = [np.mean([a == b for a, b in pairwise(numbers)]) for numbers in objects_by_class]
    assert 0.45 < np.mean(shares) < 0.55
    assert all(0.3 < share < 0.7 for share in shares)


def test_objects_are_numbered_in_order_in_short_runs():
    numbers = synthetic.object_numbers(42, 4, 500)
    assert numbers[0] == 0
    assert {b - a for a, b in pairwise(numbers)} == {0, 1}
    assert np.bincount(numbers).max() == synthetic.LONGEST_RUN
    assert synthetic.object_numbers(42, 4, 20) == numbers[:20]
    assert synthetic.object_numbers(42, 4, 0) == []
    assert synthetic.object_numbers(42, 5, 500) != numbers


def test_colours_separate_classes_better_than_chance_but_not_perfectly():
    objects, train_objects = 10, 7
    histograms = np.array(
        [[compute_histogram(synthetic.render(42, c, o, 0)) for o in range(objects)] for c in range(9)]
    )
    labels = np.repeat(np.arange(9), objects).reshape(9, objects)
    forest = RandomForestClassifier(n_estimators=60, random_state=0)
    forest.fit(histograms[:, :train_objects].reshape(-1, 216), labels[:, :train_objects].ravel())
    accuracy = forest.score(histograms[:, train_objects:].reshape(-1, 216), labels[:, train_objects:].ravel())
    assert 0.25 < accuracy < 0.9


def test_a_count_below_one_is_refused(tmp_path):
    with pytest.raises(UserError, match="at least one image per class"):
        synthetic.generate(tmp_path, images_per_class=0, seed=42)
    assert list(tmp_path.iterdir()) == []
