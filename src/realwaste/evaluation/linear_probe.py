"""A linear probe (Alain and Bengio, 2016): logistic regression on a frozen backbone's features, cross-validated."""

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

_INVERSE_REGULARIZATION = 0.1  # strong, because small sets have more features than images


def predict_out_of_sample(
    features: NDArray[np.float32] | Shards, labels: Labels, groups: NDArray[np.integer], folds: int
) -> Probabilities:
    """Probabilities (n, classes) for every row, by a logistic regression fitted on the other folds.

    Args:
        features: (n, width), of a frozen backbone; one fold at a time is loaded into memory.
        labels: (n,), class indices from 0.
        groups: (n,); rows of one group are in the same fold, since photographs of one object share their label, right
            or wrong.
        folds: the maximum number of folds, as in split_by_groups.

    Raises:
        UserError: no class has two images.
    """
    probabilities = np.full((len(labels), int(labels.max()) + 1), 1e-6)
    if len(np.unique(groups)) < 2:  # a set so small that it is one run of the capture order
        groups = np.arange(len(labels))
    splits = split_by_groups(labels, groups, folds, 0)
    if not splits:
        rule = "At least one class must have two images: a probe is tested on images that it was not trained on."
        raise UserError(rule, "Add images; in the stage shortcuts, raise shortcuts.images.", f"{len(labels)} images")
    for train_rows, test_rows in splits:
        train_classes = np.unique(labels[train_rows])
        if len(train_classes) == 1:
            probabilities[test_rows, train_classes[0]] = 1
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=_INVERSE_REGULARIZATION, max_iter=1000))
        # With more threads, the last digits and the order of near ties would depend on their number.
        with threadpool_limits(1):
            model.fit(features[train_rows], labels[train_rows])
        # A class whose groups are all in this fold is missing from the training rows.
        probabilities[np.ix_(test_rows, model.classes_)] = model.predict_proba(features[test_rows])
    return probabilities
