import numpy as np
import pytest

from realwaste.evaluation import head_cross_validation
from realwaste.training.finetune import HeadTrainer
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture
from realwaste.training.schedule import Schedule

RECIPE = FinetuneRecipe(2, HeadArchitecture(8), Schedule(12, 8, 0.02, True, 3), deterministic=True)


@pytest.fixture(scope="module")
def objects():
    """Vectors and labels of 20 objects with 4 photographs each: an object's vectors lie together, a class's do not."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 24))
    group = np.repeat(np.arange(20), 4)
    vectors = centres[group] + 0.05 * rng.normal(size=(80, 24))
    return vectors.astype(np.float32), (group % 2).astype(np.int64), group


def _cross_validate(vectors, labels, groups, folds):
    return head_cross_validation.cross_validate(vectors, labels, groups, HeadTrainer(RECIPE), folds=folds, repeats=1)


def test_objects_that_were_not_learned_from_are_guessed_and_the_same_twice(objects):
    vectors, labels, group = objects
    metrics = _cross_validate(vectors, labels, group, folds=2)
    assert (metrics["folds"], metrics["repeats"]) == (2, 1)
    assert 0.2 < metrics["accuracy_mean"] < 0.8
    assert metrics["accuracy_least"] <= metrics["accuracy_mean"] <= metrics["accuracy_most"]
    assert metrics == _cross_validate(vectors, labels, group, folds=2)
    alone = _cross_validate(vectors, labels, np.arange(80), folds=4)
    assert alone["accuracy_mean"] >= 0.95, "their other photographs give them away"
    assert _cross_validate(vectors, labels, np.zeros(80, int), folds=4) == {}, "one group has no folds"
