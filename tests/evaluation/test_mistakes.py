import numpy as np
import pandas as pd
import pytest

from realwaste.evaluation import mistakes, prediction_table

CLASSES = ["a", "b", "c"]


@pytest.fixture
def table():
    splits = pd.DataFrame({"path": list("54321"), "label": list("abcab"), "split": "test", "group": range(5)})
    probabilities = np.array([[0.9, 0.1, 0], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])
    return prediction_table.build_rows(splits, "cnn", probabilities, CLASSES)


def test_the_surest_wrong_answers_come_first_and_equals_by_name(table):
    worst = mistakes.most_confident_mistakes(table, 9)
    assert worst.to_dict("list") == {
        "path": ["3", "2", "4"],
        "label": ["c", "a", "b"],
        "predicted": ["b", "c", "a"],
        "probability": [0.8, 0.7, 0.7],
        "label_probability": [0.1, 0.1, 0.2],
    }
    assert mistakes.most_confident_mistakes(table, 1)["path"].tolist() == ["3"]


def test_a_model_that_is_always_right_has_none(table):
    assert mistakes.most_confident_mistakes(table[table["path"].isin(["5", "1"])], 3).empty
