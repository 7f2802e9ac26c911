"""Images whose label is doubted by linear probes that never saw it, ranked by normalized margin.

That is a label's probability less that of the likeliest other class, a score of label quality (Kuan and Mueller, 2022).
Confident learning (Northcutt et al., 2021) would also estimate how many labels of each class are wrong; its library,
cleanlab, is AGPL-3.0, which a program under another licence cannot build upon freely.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from realwaste.models.probabilities import Probabilities


def rank_label_errors(table: pd.DataFrame, classes: Sequence[str], answers: Sequence[Probabilities]) -> pd.DataFrame:
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
