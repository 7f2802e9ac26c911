"""Learning curves: nested subsets, as many steps on each, and an interval that knows of trainings and objects."""

from itertools import pairwise

import numpy as np
import pytest

from realwaste.evaluation import clusters, learning_curve

LABELS = np.repeat([0, 1, 2], [50, 30, 3])
GROUPS = np.arange(20)


def test_each_part_is_in_the_next_and_has_every_class_in_its_share():
    parts = learning_curve.subsets(LABELS, [10, 25, 50, 100], seed=1)
    assert [np.bincount(LABELS[rows]).tolist() for rows in parts] == [[5, 3, 1], [12, 8, 1], [25, 15, 2], [50, 30, 3]]
    assert all(set(small) < set(large) for small, large in pairwise(parts))
    assert not np.array_equal(parts[0], learning_curve.subsets(LABELS, [10], seed=2)[0])


def test_each_training_sees_as_many_rows_and_another_subset():
    asked = []

    def answer(rows, seed):
        asked.append((rows, seed))
        return np.arange(20) < (10 if len(np.unique(rows)) < 20 else 15) + seed - 5

    found = learning_curve.measured(answer, LABELS, GROUPS, [10, 100], repeats=2, seed=5)
    assert [seed for _, seed in asked] == [5, 6, 5, 6]
    assert {len(rows) for rows, _ in asked} == {len(LABELS)}
    assert set(asked[0][0]) != set(asked[1][0])
    assert np.bincount(asked[0][0]).max() - np.bincount(asked[0][0])[asked[0][0]].min() <= 1
    assert found["at_10"]["images"] == 9
    assert found["at_10"]["accuracy"] == pytest.approx(0.525)
    assert found["at_100"]["accuracy"] == pytest.approx(0.775)
    assert found["at_100"]["accuracy_std"] == pytest.approx(np.std([0.75, 0.8], ddof=1))
    for own in (found["at_10"], found["at_100"]):
        assert own["accuracy_low"] < own["accuracy"] < own["accuracy_high"]


def test_the_interval_of_one_training_is_that_of_its_groups():
    right = np.random.default_rng(0).random((1, 400)) < 0.7
    groups = np.arange(400) // 2
    known = clusters.accuracy_interval(right[0], groups)
    assert learning_curve.interval(right, groups) == pytest.approx(known, abs=0.01)


def test_trainings_that_differ_widen_the_interval_and_photographs_of_one_object_too():
    chance = np.random.default_rng(1)
    alike = np.tile(chance.random(200) < 0.6, (3, 1))
    differing = np.stack([chance.random(200) < share for share in (0.3, 0.6, 0.9)])

    def width(right, groups):
        low, high = learning_curve.interval(right, groups)
        return high - low

    assert width(differing, np.arange(200)) > 1.5 * width(alike, np.arange(200))
    ordered = np.tile(np.arange(200) < 120, (3, 1))
    assert width(ordered, np.arange(200) // 20) > 2 * width(ordered, np.arange(200))
    assert learning_curve.interval(np.ones((3, 9), bool), np.arange(9))[1] == 1


def test_the_table_has_a_row_for_each_part_and_is_empty_without_curves():
    found = learning_curve.measured(
        lambda rows, seed: np.arange(20) < 10, LABELS, GROUPS, [12.5, 100], repeats=1, seed=0
    )
    told = learning_curve.table({"irv2": found})
    assert told["percent"].tolist() == [12.5, 100]
    assert told["images"].tolist() == [11, 83]
    assert len(learning_curve.table({})) == 0
    assert list(learning_curve.table({})) == list(told)
