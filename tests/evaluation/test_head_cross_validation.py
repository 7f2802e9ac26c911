import numpy as np
import pytest

from realwaste.evaluation import head_cross_validation
from realwaste.training.finetune import HeadTrainer
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture
from realwaste.training.schedule import Schedule

RECIPE = FinetuneRecipe(2, HeadArchitecture(8), Schedule(12, 8, 0.02, True, 3), deterministic=True)


@pytest.fixture(scope="module")
def dataset():
    """Vectors, labels and groups of 20 objects with 4 photographs each; only vectors of one object are similar."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 24))
    groups = np.repeat(np.arange(20), 4)
    vectors = centres[groups] + 0.05 * rng.normal(size=(80, 24))
    return vectors.astype(np.float32), (groups % 2).astype(np.int64), groups


def _cross_validate(vectors, labels, groups, folds):
    return head_cross_validation.cross_validate(vectors, labels, groups, HeadTrainer(RECIPE), folds=folds, repeats=1)


def test_accuracy_on_unseen_groups_is_chance_and_the_metrics_are_repeatable(dataset):
    vectors, labels, groups = dataset
    metrics = _cross_validate(vectors, labels, groups, folds=2)
    assert (metrics["folds"], metrics["repeats"]) == (2, 1)
    assert 0.2 < metrics["accuracy_mean"] < 0.8
    assert metrics["accuracy_least"] <= metrics["accuracy_mean"] <= metrics["accuracy_most"]
    assert metrics == _cross_validate(vectors, labels, groups, folds=2)
    ungrouped = _cross_validate(vectors, labels, np.arange(80), folds=4)
    assert ungrouped["accuracy_mean"] >= 0.95, "photographs of the same object are in the training folds"
    assert _cross_validate(vectors, labels, np.zeros(80, int), folds=4) == {}, "one group has no folds"
