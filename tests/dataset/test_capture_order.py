"""The capture order by file numbers: the numbers themselves (numeric), or sorted as text and numbered again (text)."""

import numpy as np
import pandas as pd
import pytest

from realwaste.dataset import capture_order, leakage
from realwaste.sources.realwaste_files import COUNTS


def _build_files(paths: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"path": paths, "label": [path.split("/")[0] for path in paths]})
    table[["series", "number"]] = leakage.parse_file_numbers(table["path"])
    return table


def _number_files(label: str, count: int) -> list[str]:
    return [f"{label}/{label}_{number}.jpg" for number in range(1, count + 1)]


def test_realwaste_is_numbered_in_text_order():
    """Metal_2, 13, 24, 35, 46 … 90 were captured as 10, 11, 12, 13, 14 … 18."""
    numbers = (2, 13, 24, 35, 46, 57, 68, 79, 90)
    files = _build_files([f"Metal/Metal_{number}.jpg" for number in numbers])
    order = capture_order.published_order(files, COUNTS)
    assert order.positions.tolist() == list(range(10, 19))
    assert order.evidence == {"order": "text", "chosen_by": "published"}
    all_files = _build_files(_number_files("Metal", COUNTS["Metal"]))
    positions = capture_order.published_order(all_files, COUNTS).positions
    assert sorted(positions) == list(range(1, COUNTS["Metal"] + 1))
    # Positions do not change if files are missing.
    subset = capture_order.published_order(all_files.iloc[[0, 4, 700]], COUNTS)
    assert subset.positions.tolist() == positions.iloc[[0, 4, 700]].tolist()


def test_a_file_beyond_the_published_numbers_has_no_position():
    files = _build_files(["a/a_1.jpg", "a/a_3.jpg", "a/none.jpg"])
    assert capture_order.published_order(files, {"a": 2}).positions.isna().tolist() == [False, True, True]


@pytest.fixture
def similarity_of_positions():
    """A function of two capture positions whose similarity decreases with their distance, as a scene changes slowly."""
    steps = np.random.default_rng(5).normal(size=(2, 400)).cumsum(axis=1)
    return lambda first, second: float(np.exp(-np.abs(steps[:, first] - steps[:, second]).sum()))


@pytest.mark.parametrize("as_text", [False, True])
def test_the_order_with_more_similar_neighbors_is_chosen(similarity_of_positions, as_text):
    files = _build_files(_number_files("a", 150) + _number_files("b", 150))
    text_order = capture_order.published_order(files, {"a": 150, "b": 150}).positions
    true_order = text_order if as_text else files["number"]
    order = capture_order.order_by_similarity(
        files, lambda first, second: similarity_of_positions(true_order[first], true_order[second])
    )
    assert order.positions.tolist() == true_order.tolist()
    assert order.evidence["order"] == ("text" if as_text else "numeric")
    assert (order.evidence["p"] < 0.05) == as_text
    chosen, rejected = ("text", "numeric") if as_text else ("numeric", "text")
    assert order.evidence[f"{chosen}_alone_likeness"] > order.evidence[f"{rejected}_alone_likeness"]
    assert order.evidence["text_alone_pairs"] == order.evidence["numeric_alone_pairs"] > 50


def test_without_a_difference_the_numeric_order_is_chosen():
    """With random similarities, the test chooses the text order for about one in twenty sets."""
    files = _build_files(_number_files("a", 60))
    orders = []
    for seed in range(40):
        noise = np.random.default_rng(seed).random((60, 60))
        order = capture_order.order_by_similarity(files, lambda first, second: float(noise[first, second]))  # noqa: B023 - at once
        orders.append(order.evidence["order"])
    assert orders.count("text") <= 6


def test_both_orders_of_a_few_files_are_equal_and_there_is_no_test():
    order = capture_order.order_by_similarity(_build_files(_number_files("a", 9)), lambda *_: 0.5)
    assert order.evidence["p"] is None
    assert order.positions.tolist() == list(range(1, 10))


def test_files_with_timestamps_in_their_names_are_ordered_by_time():
    names = [f"a/IMG_{20241124_000000000 + 1000 * number}.jpg" for number in range(30)]
    files = _build_files(names + _number_files("b", 90))
    order = capture_order.order_by_similarity(files, lambda *_: 0.5)
    assert order.positions.tolist() == [*range(1, 31), *range(1, 91)]
    assert order.evidence["text_alone_pairs"] > 10, "only the files of b differ between the orders"


def test_many_pairs_are_sampled(monkeypatch):
    monkeypatch.setattr(capture_order, "_MAX_PAIRS", 20)
    order = capture_order.order_by_similarity(_build_files(_number_files("a", 199)), lambda *_: 0.5)
    assert order.evidence["text_alone_pairs"] == order.evidence["numeric_alone_pairs"] == 20
