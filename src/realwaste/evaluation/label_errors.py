"""Ranks images by how likely their label is wrong, from out-of-sample predictions.

The score is the normalized margin: the label's probability minus that of the most probable other class (Kuan and
Mueller, 2022). Confident learning (Northcutt et al., 2021) would also estimate the number of wrong labels per class,
but its library, cleanlab, is AGPL-3.0, which programs under other licences cannot freely build on.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from realwaste.models.probabilities import Probabilities


def rank_label_errors(
    table: pd.DataFrame, classes: Sequence[str], predictions: Sequence[Probabilities]
) -> pd.DataFrame:
    """All images (path, label) in ascending order of the normalized margin, the most doubtful label first.

    Args:
        predictions: out-of-sample probabilities (n, classes) of each model.

    Returns:
        path, label, suggested (the most probable other class), label_probability and suggested_probability (means over
        the models), models_disagreeing (the number of models that predict another class than the label).
    """
    mean = np.mean(predictions, axis=0)
    labels = pd.Index(classes).get_indexer_for(table["label"])
    row_index = np.arange(len(labels))
    other_classes = mean.copy()
    other_classes[row_index, labels] = -1
    suggested = other_classes.argmax(axis=1)
    ranking = table[["path", "label"]].assign(
        suggested=np.asarray(classes)[suggested],
        label_probability=mean[row_index, labels].round(4),
        suggested_probability=mean[row_index, suggested].round(4),
        models_disagreeing=sum((probabilities.argmax(axis=1) != labels).astype(int) for probabilities in predictions),
        margin=mean[row_index, labels] - mean[row_index, suggested],
    )
    return ranking.sort_values(["margin", "path"], kind="stable").drop(columns="margin").reset_index(drop=True)
