"""Images whose label is doubted by models that never saw it, ranked by normalized margin.

That is a label's probability less that of the likeliest other class, a score of label quality (Kuan and Mueller, 2022).
Confident learning (Northcutt et al., 2021) would also estimate how many labels of each class are wrong; its library,
cleanlab, is AGPL-3.0, which a program under another licence cannot build upon freely.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from realwaste.classifier.probabilities import Labels, Probabilities
from realwaste.images.shards import Shards

_STRENGTH = 0.1  # of the inverse regularisation: there are more features than images in small sets


def out_of_sample(
    vectors: NDArray[np.float32] | Shards, labels: Labels, groups: NDArray[np.integer], folds: int
) -> Probabilities:
    """Probabilities (n, classes) for every row, by a logistic regression on the folds that it is not in.

    Args:
        vectors: (n, width), of a frozen backbone; a fold of them is taken into memory.
        labels: (n,), numbers from 0 on.
        groups: rows of one group are in one fold: the next photograph of an object carries its label, wrong or not.
    """
    probabilities = np.full((len(labels), int(labels.max()) + 1), 1e-6)
    count = len(np.unique(groups))
    if count < 2:  # a set so small that all is one run of numbers
        groups, count = np.arange(len(labels)), len(labels)
    parts = StratifiedGroupKFold(min(folds, count, np.bincount(labels).max()), shuffle=True, random_state=0)
    for learned, asked in parts.split(labels, labels, groups):
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


def ranked(table: pd.DataFrame, classes: Sequence[str], answers: Sequence[Probabilities]) -> pd.DataFrame:
    """Every image, the most doubtful label first: that of the least normalized margin.

    Args:
        table: path and label.
        answers: out-of-sample probabilities (n, classes), one array a model.

    Returns:
        path, label, suggested (the likeliest other class), label_probability and suggested_probability (means of the
        models), models_disagreeing (for how many the label is not the likeliest class).
    """
    mean = np.mean(answers, axis=0)
    labels = pd.Index(classes).get_indexer_for(table["label"])
    rows = np.arange(len(labels))
    others = mean.copy()
    others[rows, labels] = -1
    suggested = others.argmax(axis=1)
    found = table[["path", "label"]].assign(
        suggested=np.asarray(classes)[suggested],
        label_probability=mean[rows, labels].round(4),
        suggested_probability=mean[rows, suggested].round(4),
        models_disagreeing=sum((one.argmax(axis=1) != labels).astype(int) for one in answers),
        margin=mean[rows, labels] - mean[rows, suggested],
    )
    return found.sort_values(["margin", "path"], kind="stable").drop(columns="margin").reset_index(drop=True)
