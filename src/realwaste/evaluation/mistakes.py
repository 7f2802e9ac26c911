"""A model's mistakes: its wrong predictions, the most confident first."""

import pandas as pd

from realwaste.evaluation import prediction_table


def most_confident_mistakes(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """The most confident wrong predictions of one model, at most `count`.

    Args:
        table: the model's rows of the predictions table.

    Returns:
        path, label, predicted, probability (of the predicted class), label_probability (of the label).
    """
    probabilities = prediction_table.probabilities_of(table)
    predictions = table[["path", "label"]].assign(
        predicted=prediction_table.predicted_classes(table),
        probability=probabilities.max(axis=1),
        label_probability=probabilities[range(len(table)), prediction_table.labels_of(table)],
    )
    mistakes = predictions[predictions["predicted"] != predictions["label"]]
    ranked = mistakes.sort_values(["probability", "path"], ascending=[False, True], kind="stable")
    return ranked.head(count).reset_index(drop=True)
