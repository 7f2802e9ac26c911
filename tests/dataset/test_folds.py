"""Cross-validation folds of few images per class: as many as possible, or none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realwaste.core.errors import UserError
from realwaste.dataset.folds import split_by_groups
from realwaste.dataset.labels import sample_rows
from realwaste.evaluation import head_cross_validation, linear_probe
from realwaste.training.finetune import HeadTrainer
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture
from realwaste.training.schedule import Schedule

RECIPE = FinetuneRecipe(2, HeadArchitecture(4), Schedule(1, 8, 0.02, True, 3), deterministic=True)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=40), st.integers(2, 20))
def test_each_row_is_tested_once_and_its_group_is_not_in_the_training_rows(rows, folds):
    labels, groups = np.array(rows).T
    splits = split_by_groups(labels, groups, folds, 0)
    if not splits:
        assert np.bincount(labels).max() == 1 or len(set(groups)) == 1
        return
    assert 2 <= len(splits) <= folds
    assert sorted(np.concatenate([test_rows for _, test_rows in splits])) == list(range(len(labels)))
    for train_rows, test_rows in splits:
        assert not set(groups[train_rows]) & set(groups[test_rows])


def test_the_rarest_class_and_the_groups_limit_the_number_of_folds():
    labels = np.repeat([0, 1], [12, 3])
    assert len(split_by_groups(labels, np.arange(15), 20, 0)) == 3
    assert len(split_by_groups(np.repeat([0, 1], 12), np.arange(24) // 6, 20, 0)) == 4
    assert len(split_by_groups(np.repeat([0, 1], [12, 1]), np.arange(13), 20, 0)) == 2


def test_twenty_folds_of_three_images_per_class_become_three():
    """scikit-learn refuses this: n_splits=20 cannot be greater than the number of members in each class."""
    labels = np.repeat([0, 1], 3)
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    trainer = HeadTrainer(RECIPE)
    metrics = head_cross_validation.cross_validate(vectors, labels, np.arange(6), trainer, folds=20, repeats=1)
    assert metrics["folds"] == 3
    assert 0 <= metrics["accuracy_least"] <= metrics["accuracy_mean"] <= 1
    assert linear_probe.predict_out_of_sample(vectors, labels, np.arange(6), 20).shape == (6, 2)


def test_one_image_per_class_allows_no_cross_validation():
    vectors, labels = np.eye(3, dtype=np.float32), np.arange(3)
    trainer = HeadTrainer(RECIPE)
    assert head_cross_validation.cross_validate(vectors, labels, np.arange(3), trainer, folds=5, repeats=1) == {}
    with pytest.raises(UserError, match="must have two images"):
        linear_probe.predict_out_of_sample(vectors, labels, np.arange(3), 5)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 70))
def test_a_sample_has_at_most_max_rows_and_every_class_if_possible(labels, max_rows):
    labels = np.array(labels)
    rows = sample_rows(labels, max_rows, 0)
    assert len(set(rows)) == len(rows) <= max_rows
    if max_rows >= len(set(labels)):
        assert set(labels[rows]) == set(labels)
