"""A model's mistakes: the most confident wrong predictions, and the most confused pairs of classes."""

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


def most_confused_pairs(confusions: pd.DataFrame, count: int) -> pd.DataFrame:
    """The pairs of classes that one model confuses most: actual, predicted, images, share of the actual class.

    Args:
        confusions: actual, predicted and images, for every pair of classes.
    """
    class_share = confusions["images"] / confusions.groupby("actual")["images"].transform("sum").clip(lower=1)
    is_mistake = (confusions["actual"] != confusions["predicted"]) & (confusions["images"] > 0)
    pairs = confusions.assign(share=class_share)[is_mistake].sort_values(
        ["images", "share", "actual", "predicted"], ascending=[False, False, True, True]
    )
    return pairs[["actual", "predicted", "images", "share"]].head(count).reset_index(drop=True)
