"""The measurements of docs/realwaste.md are cached, resumed and equal to the page. The vectors are mean colours."""

import json
from functools import cached_property

import numpy as np
import pandas as pd
import pytest
from conftest import draw_images

from benchmarks import realwaste
from benchmarks.parts import heads, pages, set_facts, split_effect
from benchmarks.parts.photographs import Backbone, Photographs
from realwaste.core.files import write_csv
from realwaste.runtime.inference_engine import Network


class MeanColours(Backbone):
    """A backbone whose vector is the mean colour of each quarter."""

    def __init__(self):
        super().__init__("colours.keras", 16)

    @cached_property
    def network(self):
        def run(pictures):
            quarters = pictures.reshape(-1, 2, 8, 2, 8, 3).mean(axis=(2, 4))
            return quarters.reshape(len(pictures), -1).astype(np.float32) / 255 + 0.01

        return Network(run, 4, (12,))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photographs whose cache is shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("photos")
    return Photographs(draw_images(folder / "set", glass=30, metal=30, paper=30), folder / "cache")


@pytest.fixture(autouse=True)
def _two_folds(monkeypatch):
    monkeypatch.setattr(set_facts, "FOLDS", 2)


def test_vectors_are_computed_once_and_cached(photos, monkeypatch):
    vectors = photos.vectors(MeanColours(), "frame")
    monkeypatch.setattr(MeanColours, "network", None)
    assert vectors.shape == (90, 12)
    assert np.array_equal(photos.vectors(MeanColours(), "frame"), vectors)


def test_tables_of_duplicates_backgrounds_and_confusions_cover_every_class(photos):
    counts, _ = set_facts.duplicates(photos, MeanColours())
    assert [row[:2] for row in counts["rows"]] == [["glass", 30], ["metal", 30], ["paper", 30], ["all", 90]]
    backgrounds, confusions = (
        measure(photos, MeanColours())[0] for measure in (set_facts.background, set_facts.confusion)
    )
    for row in [*backgrounds["rows"][:-1], *confusions["rows"]]:
        estimate, low, high = row[-1]
        assert 0 <= low <= estimate <= high <= 1
    assert len(confusions["rows"]) == 3 + 1  # the pairs of three classes, and all


def test_judgements_of_labels_are_counted_and_wrong_labels_corrected(photos, monkeypatch, tmp_path):
    judgements = [
        ("glass/glass_1.jpg", "wrong", "paper"),
        ("metal/metal_1.jpg", "ambiguous", ""),
        ("paper/paper_2.jpg", "right", ""),
    ]
    monkeypatch.setattr(set_facts, "JUDGEMENTS", tmp_path / "judged.csv")
    write_csv(set_facts.JUDGEMENTS, pd.DataFrame(judgements, columns=["path", "judgement", "label"]))
    counts, corrected = set_facts.labels(photos, MeanColours())
    assert [row[:2] for row in counts["rows"][:3]] == [["wrong", 1], ["ambiguous", 1], ["right", 1]]
    assert "(1 labels are corrected)" in corrected["heads"][0]


def test_trainings_of_the_cnn_resume_and_appear_in_the_table(photos, monkeypatch):
    seeds = []

    def interrupt_fourth(_, splits, seed, checkpoint):
        seeds.append(seed)
        if len(seeds) == 4:
            raise KeyboardInterrupt
        return 0.5 + 0.01 * seed

    monkeypatch.setattr(split_effect, "_cnn_accuracy", interrupt_fourth)
    monkeypatch.setattr(split_effect, "SPLITS", (1, 2))
    monkeypatch.setattr(split_effect, "SEEDS", (1, 2))
    with pytest.raises(KeyboardInterrupt):
        split_effect.train_cnn(photos)
    split_effect.train_cnn(photos)
    assert seeds == [1, 1, 2, 2, 2]
    (table,) = split_effect.measure(photos, MeanColours())
    assert table["heads"][-1] == "the CNN at 96 px"
    assert table["rows"][0][-1] == table["rows"][1][-1] == "0.515 ± 0.007"
    assert table["rows"][2][-1] == pytest.approx([0, 0, 0])


def test_intervals_over_groups_contain_their_estimate():
    values, groups = np.array([0.0, 1, 1, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    for estimate, low, high in (heads.mean_interval(values, groups), heads.share_interval(values == 1, groups)):
        assert estimate == pytest.approx(2 / 3)
        assert low <= estimate <= high


def test_pages_agree_with_the_stored_results():
    results = json.loads(realwaste.RESULTS.read_text(encoding="utf-8"))
    for name, path in realwaste.PAGES:
        page = path.read_text(encoding="utf-8")
        assert pages.into(page, f"{realwaste.COMMAND}, {name}", realwaste.tables(results[name])) == page


def test_cells_format_numbers_and_intervals():
    assert [realwaste._cell(value) for value in ("text", 3, 0.5, [0.5, 0.25, 0.75], [0.5, 0.25, 0.75, 9])] == [
        "text", "3", "0.500", "0.500 (0.250 to 0.750)", "0.50 (0.25 to 0.75), 9",
    ]  # fmt: skip
