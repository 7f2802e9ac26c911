import numpy as np
import pandas as pd
import pytest

from realwaste.evaluation import mistakes, prediction_table

CLASSES = ["a", "b", "c"]


@pytest.fixture
def predictions():
    splits = pd.DataFrame({"path": list("54321"), "label": list("abcab"), "split": "test", "group": range(5)})
    probabilities = np.array([[0.9, 0.1, 0], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])
    return prediction_table.build_rows(splits, "cnn", probabilities, CLASSES)


def test_mistakes_are_sorted_by_confidence_and_then_by_path(predictions):
    worst = mistakes.most_confident_mistakes(predictions, 9)
    assert worst.to_dict("list") == {
        "path": ["3", "2", "4"],
        "label": ["c", "a", "b"],
        "predicted": ["b", "c", "a"],
        "probability": [0.8, 0.7, 0.7],
        "label_probability": [0.1, 0.1, 0.2],
    }
    assert mistakes.most_confident_mistakes(predictions, 1)["path"].tolist() == ["3"]


def test_a_table_without_mistakes_gives_no_rows(predictions):
    assert mistakes.most_confident_mistakes(predictions[predictions["path"].isin(["5", "1"])], 3).empty
