"""A sweep over learning rates: the choice of a rate, the names of rates, and trials that do not affect each other."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from realwaste.core.errors import DivergedError
from realwaste.models import cnn
from realwaste.runtime import determinism
from realwaste.training import sweep, sweep_table, training_loop
from realwaste.training.cnn_recipe import CnnArchitecture, CnnRecipe
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule


def _build_table(**losses_by_rate):
    rows = [
        {"learning_rate": float(rate.removeprefix("r")), "epoch": epoch, "val_loss": loss, "diverged": None in losses}
        for rate, losses in losses_by_rate.items()
        for epoch, loss in enumerate(losses, start=1)
    ]
    return pd.DataFrame(rows)


def test_the_rate_with_the_lowest_validation_loss_of_any_epoch_is_chosen():
    choice = sweep_table.choose_best(
        _build_table(**{"r0.1": [3, 2, 1.5], "r0.01": [2, 1.0, 4], "r0.001": [2, 1.9, 1.2]})
    )
    assert (choice.rate, choice.epoch, choice.val_loss) == (0.01, 2, 1.0)


def test_nearly_equal_rates_have_different_names_and_files():
    rates = [0.001, 0.0010000001, 0.00100000010, 1e-05, 1.0]
    assert [sweep_table.rate_name(rate) for rate in rates] == ["0.001", "0.0010000001", "0.0010000001", "1e-05", "1"]
    table = _build_table(**{"r0.001": [2.0], "r0.0010000001": [1.0]})
    assert list(sweep_table.summary(table, sweep_table.choose_best(table))["rates"]) == ["0_001", "0_0010000001"]
    checkpoint_dir = Path("checkpoints")
    assert sweep.result_file(checkpoint_dir, 0.001) != sweep.result_file(checkpoint_dir, 0.0010000001)
    assert sweep.checkpoint_file(checkpoint_dir, 0.001) != sweep.checkpoint_file(checkpoint_dir, 0.0010000001)


def test_the_smaller_of_two_rates_with_equal_loss_is_chosen():
    assert sweep_table.choose_best(_build_table(**{"r0.1": [1.0], "r0.01": [1.0]})).rate == 0.01


def test_a_diverged_rate_is_never_chosen():
    table = _build_table(**{"r0.1": [0.1, None], "r0.01": [2, 1.9]})
    choice = sweep_table.choose_best(table)
    assert choice.rate == 0.01
    rates = sweep_table.summary(table, choice)["rates"]
    assert rates["0_1"] == {"diverged": True, "diverged_epoch": 2}
    assert rates["0_01"] == {"diverged": False, "lowest_val_loss": 1.9}


def test_a_sweep_whose_rates_all_diverge_raises_an_error():
    with pytest.raises(DivergedError, match=r"without diverging.*\[0\.1, 1\.0\]"):
        sweep_table.choose_best(_build_table(**{"r0.1": [None], "r1": [None]}))


@pytest.mark.parametrize(("optimizer", "policy"), [("sgd_momentum", "float32"), ("adam", "mixed_float16")])
def test_a_trial_does_not_depend_on_the_trials_before_it(optimizer, policy, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 2
    train = Samples(rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8), labels)
    schedule = Schedule(2, 4, 0.0, True, 3, dtype_policy=policy, optimizer=optimizer)
    splits = pd.DataFrame({"path": map(str, range(12)), "label": labels.astype(str), "split": "train"})
    job = sweep.Sweep([], splits, tmp_path, CnnRecipe(CnnArchitecture(16, 0.9), schedule), True)
    trials = sweep.Trials(job, train, train)
    trainings = [trials.fit(rate, checkpoint=tmp_path / sweep_table.rate_name(rate)) for rate in (1e30, 0.01, 0.001)]

    keras.utils.clear_session()
    determinism.make_repeatable(3, deterministic=True)
    model = cnn.build(16, 2, batch_norm_momentum=0.9)
    expected = training_loop.fit(model, train, train, replace(schedule, learning_rate=0.001))
    pd.testing.assert_frame_equal(trainings[2].history, expected.history, check_exact=True)
    assert not trainings[1].history.equals(expected.history)
