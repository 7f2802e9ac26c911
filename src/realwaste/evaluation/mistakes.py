"""Where a model errs: the answers it was surest of and wrong in, and the classes it takes for one another."""

import pandas as pd

from realwaste.evaluation import prediction_table


def most_confident_mistakes(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """The wrong answers of one model that it was surest of.

    Args:
        table: the model's rows of the predictions table, of the part that is asked about.

    Returns:
        path, label, predicted, probability (of the answer), label_probability (of the right one).
    """
    probabilities = prediction_table.probabilities_of(table)
    answers = table[["path", "label"]].assign(
        predicted=prediction_table.predicted_classes(table),
        probability=probabilities.max(axis=1),
        label_probability=probabilities[range(len(table)), prediction_table.labels_of(table)],
    )
    wrong = answers[answers["predicted"] != answers["label"]]
    ordered = wrong.sort_values(["probability", "path"], ascending=[False, True], kind="stable")
    return ordered.head(count).reset_index(drop=True)


def most_confused_pairs(confusions: pd.DataFrame, count: int) -> pd.DataFrame:
    """The pairs of one model with the most wrong answers: actual, predicted, images, share of the actual class.

    Args:
        confusions: actual, predicted and images, every pair of classes.
    """
    share = confusions["images"] / confusions.groupby("actual")["images"].transform("sum").clip(lower=1)
    wrong = (confusions["actual"] != confusions["predicted"]) & (confusions["images"] > 0)
    pairs = confusions.assign(share=share)[wrong].sort_values(
        ["images", "share", "actual", "predicted"], ascending=[False, False, True, True]
    )
    return pairs[["actual", "predicted", "images", "share"]].head(count).reset_index(drop=True)
