"""Learning curves: nested subsets, trainings of equal length, and intervals over trainings and groups."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from realwaste.core.files import read_csv
from realwaste.evaluation import cluster_bootstrap, learning_curve
from realwaste.models import cnn, model_file
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.training import training_loop
from stages import cnn_learning_curve, evaluate
from stages.launcher import params_file

LABELS = np.repeat([0, 1, 2], [50, 30, 3])
GROUPS = np.arange(20)


def test_subsets_are_nested_and_stratified():
    subsets = learning_curve.nested_subsets(LABELS, [10, 25, 50, 100], seed=1)
    assert [np.bincount(LABELS[rows]).tolist() for rows in subsets] == [[5, 3, 1], [12, 8, 1], [25, 15, 2], [50, 30, 3]]
    assert all(set(small) < set(large) for small, large in pairwise(subsets))
    assert not np.array_equal(subsets[0], learning_curve.nested_subsets(LABELS, [10], seed=2)[0])


def test_trainings_have_equally_many_rows_and_different_subsets():
    calls = []

    def train_and_test(rows, seed):
        calls.append((rows, seed))
        return np.arange(20) < (10 if len(np.unique(rows)) < 20 else 15) + seed - 5

    curve = learning_curve.measure_learning_curve(train_and_test, LABELS, GROUPS, [10, 100], repeats=2, seed=5)
    assert [seed for _, seed in calls] == [5, 6, 5, 6]
    assert {len(rows) for rows, _ in calls} == {len(LABELS)}
    assert set(calls[0][0]) != set(calls[1][0])
    assert np.bincount(calls[0][0]).max() - np.bincount(calls[0][0])[calls[0][0]].min() <= 1
    assert curve["at_10"]["images"] == 9
    assert curve["at_10"]["accuracy"] == pytest.approx(0.525)
    assert curve["at_100"]["accuracy"] == pytest.approx(0.775)
    assert curve["at_100"]["accuracy_std"] == pytest.approx(np.std([0.75, 0.8], ddof=1))
    for point in (curve["at_10"], curve["at_100"]):
        assert point["accuracy_low"] < point["accuracy"] < point["accuracy_high"]


def test_the_interval_of_one_training_is_the_cluster_bootstrap_interval():
    correct = np.random.default_rng(0).random((1, 400)) < 0.7
    groups = np.arange(400) // 2
    expected = cluster_bootstrap.accuracy_interval(correct[0], groups)
    assert learning_curve.accuracy_interval(correct, groups) == pytest.approx(expected, abs=0.01)


def test_differing_trainings_and_correlated_groups_widen_the_interval():
    rng = np.random.default_rng(1)
    equal_trainings = np.tile(rng.random(200) < 0.6, (3, 1))
    differing_trainings = np.stack([rng.random(200) < share for share in (0.3, 0.6, 0.9)])

    def interval_width(correct, groups):
        low, high = learning_curve.accuracy_interval(correct, groups)
        return high - low

    assert interval_width(differing_trainings, np.arange(200)) > 1.5 * interval_width(equal_trainings, np.arange(200))
    correlated_trainings = np.tile(np.arange(200) < 120, (3, 1))
    width_of_images = interval_width(correlated_trainings, np.arange(200))
    assert interval_width(correlated_trainings, np.arange(200) // 8) > 2 * width_of_images
    assert learning_curve.accuracy_interval(np.ones((3, 9), bool), np.arange(9))[1] == 1


def test_the_table_has_a_row_for_each_subset_and_is_empty_without_curves():
    curve = learning_curve.measure_learning_curve(
        lambda rows, seed: np.arange(20) < 10, LABELS, GROUPS, [12.5, 100], repeats=1, seed=0
    )
    table = learning_curve.curve_table({"irv2": curve})
    assert table["percent"].tolist() == [12.5, 100]
    assert table["images"].tolist() == [11, 83]
    assert len(learning_curve.curve_table({})) == 0
    assert list(learning_curve.curve_table({})) == list(table)


def test_the_learning_curve_of_the_cnn_resumes_after_an_interruption(ready_to_train, monkeypatch):
    """The second of two trainings is interrupted; the next run repeats only that one."""
    monkeypatch.chdir(ready_to_train)
    splits = read_csv(Path("data/splits.csv"))
    splits["group"] = range(len(splits))
    params = params_file.check(params_file.read_yaml(Path("params.yaml")))
    curve = params.evaluate.learning_curve.model_copy(update={"percents": [50, 100], "repeats": 1, "cnn": True})
    params = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"learning_curve": curve})})
    monkeypatch.setattr("stages.cnn_learning_curve.dependencies.files", lambda stage: [])
    subset_sizes: list[int] = []
    fit = training_loop.fit

    def interrupt_second_training(*arguments, **options):
        subset_sizes.append(len(np.unique(arguments[1].inputs, axis=0)))
        if len(subset_sizes) == 2:
            raise KeyboardInterrupt
        return fit(*arguments, **options)

    monkeypatch.setattr(training_loop, "fit", interrupt_second_training)
    with pytest.raises(KeyboardInterrupt):
        cnn_learning_curve.measure(params, splits, "float32")
    curve_metrics = evaluate._other_trainings(params, "cnn", splits, "float32")["learning_curve"]
    assert subset_sizes == [6, 12, 12]
    assert (curve_metrics["at_50"]["images"], curve_metrics["at_100"]["images"]) == (6, 12)
    assert 0 <= curve_metrics["at_50"]["accuracy_low"] <= curve_metrics["at_50"]["accuracy"] <= 1


@pytest.mark.parametrize("formats", [[], ["saved_model"]])
def test_export_sizes_are_those_of_the_files(formats, tmp_path):
    model = cnn.build(16, 2, batch_norm_momentum=0.9)
    file = tmp_path / "cnn.keras"
    model_file.save(file, Classifier(model, ModelMetadata("cnn", ("a", "b"), 16, "x", "CNN", "w")))
    sizes = evaluate._export_sizes(file, formats)
    assert list(sizes) == [f"{format_name}_mb" for format_name in formats]
    assert all(4 * model.count_params() / 1e6 < size < 8 * model.count_params() / 1e6 + 1 for size in sizes.values())
