"""The order of shooting, as far as file numbers tell: numbers as they are, or sorted as text and numbered again."""

import numpy as np
import pandas as pd
import pytest

from realwaste.dataset import capture_order, leakage, manifest
from realwaste.sources import synthetic
from realwaste.sources.realwaste_files import COUNTS


def _files(paths: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"path": paths, "label": [path.split("/")[0] for path in paths]})
    table[["series", "number"]] = leakage.numbered(table["path"])
    return table


def test_realwastes_rule_is_its_published_counts_sorted_as_text():
    """Metal_2, 13, 24, 35, 46 … 90 are one series: shot as 10, 11, 12, 13, 14 … 18."""
    numbers = (2, 13, 24, 35, 46, 57, 68, 79, 90)
    files = _files([f"Metal/Metal_{number}.jpg" for number in numbers])
    order = capture_order.published(files, COUNTS)
    assert order.shot.tolist() == list(range(10, 19))
    assert order.evidence == {"order": "text", "chosen_by": "published"}
    whole = _files([f"Metal/Metal_{number}.jpg" for number in range(1, COUNTS["Metal"] + 1)])
    shot = capture_order.published(whole, COUNTS).shot
    assert sorted(shot) == list(range(1, COUNTS["Metal"] + 1))
    # A part of the files has the places that it has in the whole.
    some = whole.iloc[[0, 4, 700]]
    assert capture_order.published(some, COUNTS).shot.tolist() == shot.iloc[[0, 4, 700]].tolist()


def test_a_file_that_is_not_among_the_published_numbers_has_no_place():
    files = _files(["a/a_1.jpg", "a/a_3.jpg", "a/none.jpg"])
    assert capture_order.published(files, {"a": 2}).shot.isna().tolist() == [False, True, True]


@pytest.fixture
def walk():
    """Colours that change little from one photograph to the next: (shot number → likeness of two)."""
    steps = np.random.default_rng(5).normal(size=(2, 400)).cumsum(axis=1)
    return lambda one, other: float(np.exp(-np.abs(steps[:, one] - steps[:, other]).sum()))


@pytest.mark.parametrize("as_text", [False, True])
def test_the_order_whose_neighbours_are_more_alike_is_found(walk, as_text):
    files = _files([f"{label}/{label}_{number}.jpg" for label in "ab" for number in range(1, 151)])
    text = capture_order.published(files, {"a": 150, "b": 150}).shot
    true = text if as_text else files["number"]
    order = capture_order.by_likeness(files, lambda one, other: walk(true[one], true[other]))
    assert order.shot.tolist() == true.tolist()
    assert order.evidence["order"] == ("text" if as_text else "numeric")
    assert (order.evidence["p"] < 0.05) == as_text
    more, less = ("text", "numeric") if as_text else ("numeric", "text")
    assert order.evidence[f"{more}_alone_likeness"] > order.evidence[f"{less}_alone_likeness"]
    assert order.evidence["text_alone_pairs"] == order.evidence["numeric_alone_pairs"] > 50


def test_without_a_difference_the_numbers_are_taken_as_they_are():
    """Of 40 sets that show nothing about the order, the test takes about one in twenty for one sorted as text."""
    files = _files([f"a/a_{number}.jpg" for number in range(1, 61)])
    chosen = []
    for seed in range(40):
        noise = np.random.default_rng(seed).random((60, 60))
        order = capture_order.by_likeness(files, lambda one, other: float(noise[one, other]))  # noqa: B023 - at once
        chosen.append(order.evidence["order"])
    assert chosen.count("text") <= 6


def test_few_files_have_one_order_and_nothing_to_test():
    order = capture_order.by_likeness(_files([f"a/a_{number}.jpg" for number in range(1, 10)]), lambda *_: 0.5)
    assert order.evidence["p"] is None
    assert order.shot.tolist() == list(range(1, 10))


def test_times_of_day_in_names_are_no_numbering():
    names = [f"a/IMG_{20241124_000000000 + 1000 * number}.jpg" for number in range(30)]
    files = _files([*names, *(f"b/b_{number}.jpg" for number in range(1, 91))])
    order = capture_order.by_likeness(files, lambda *_: 0.5)
    assert order.shot.tolist() == files["number"].tolist()
    assert order.evidence["text_alone_pairs"] > 10, "those of b"


def test_of_many_pairs_some_are_asked(monkeypatch):
    monkeypatch.setattr(capture_order, "_MOST_PAIRS", 20)
    order = capture_order.by_likeness(_files([f"a/a_{number}.jpg" for number in range(1, 200)]), lambda *_: 0.5)
    assert order.evidence["text_alone_pairs"] == order.evidence["numeric_alone_pairs"] == 20


def test_a_set_numbered_as_text_is_grouped_by_its_shooting_order(tmp_path):
    """The generated set, renamed as RealWaste's files were: sorted as text and numbered again."""
    made, root = tmp_path / "made", tmp_path / "root"
    synthetic.generate(made, images_per_class=40, seed=3)
    by_text = sorted(range(1, 41), key=str)
    for folder in made.iterdir():
        (root / folder.name).mkdir(parents=True)
        for place, shot in enumerate(by_text, start=1):
            (folder / f"{folder.name}_{shot}.jpg").rename(root / folder.name / f"{folder.name}_{place}.jpg")
    table, _, order = manifest.scan(root)
    assert (order["order"], order["p"] < 0.01) == ("text", True)
    assert [by_text[number - 1] for number in table["number"]] == table["shot"].tolist()
    shown = {name: synthetic.reshot_groups(3, index, 40) for index, name in enumerate(synthetic.CLASSES)}
    objects = pd.Series([f"{row.label} {shown[row.label][row.shot - 1]}" for row in table.itertuples()])
    groups = leakage.groups(table, 10)
    assert (objects.groupby(objects).apply(lambda own: len(set(groups[own.index]))) == 1).mean() > 0.9
