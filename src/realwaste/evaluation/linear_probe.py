"""A linear probe (Alain and Bengio, 2016): logistic regression on vectors, asked about others than it learned from."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from realwaste.core.errors import UserError
from realwaste.dataset.folds import split_by_groups
from realwaste.images.array_shards import Shards
from realwaste.models.probabilities import Labels, Probabilities

_STRENGTH = 0.1  # of the inverse regularisation: there are more features than images in small sets


def predict_out_of_sample(
    vectors: NDArray[np.float32] | Shards, labels: Labels, groups: NDArray[np.integer], folds: int
) -> Probabilities:
    """Probabilities (n, classes) for every row, by a logistic regression on the folds that it is not in.

    Args:
        vectors: (n, width), of a frozen backbone; a fold of them is taken into memory.
        labels: (n,), numbers from 0 on.
        groups: rows of one group are in one fold: the next photograph of an object carries its label, wrong or not.
        folds: at most, as of split_by_groups.

    Raises:
        UserError: no class has two images.
    """
    probabilities = np.full((len(labels), int(labels.max()) + 1), 1e-6)
    if len(np.unique(groups)) < 2:  # a set so small that all is one run of numbers
        groups = np.arange(len(labels))
    parts = split_by_groups(labels, groups, folds, 0)
    if not parts:
        rule = "A class must have two images at least: a probe is tested on images that it did not learn from."
        raise UserError(rule, "Add images; in the stage shortcuts, raise shortcuts.images.", f"{len(labels)} images")
    for learned, asked in parts:
        known = np.unique(labels[learned])
        if len(known) == 1:
            probabilities[asked, known[0]] = 1
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=1000))
        # The last digits, and the order of near equals, would depend on the number of threads.
        with threadpool_limits(1):
            model.fit(vectors[learned], labels[learned])
        # A class whose groups are all in one fold is unknown to the model that is asked there.
        probabilities[np.ix_(asked, model.classes_)] = model.predict_proba(vectors[asked])
    return probabilities
