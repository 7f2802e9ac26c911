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


def _table(**losses_of):
    rows = [
        {"learning_rate": float(rate.removeprefix("r")), "epoch": epoch, "val_loss": loss, "diverged": None in losses}
        for rate, losses in losses_of.items()
        for epoch, loss in enumerate(losses, start=1)
    ]
    return pd.DataFrame(rows)


def test_the_lowest_validation_loss_wins_whichever_epoch_it_came_in():
    choice = sweep_table.choose_best(_table(**{"r0.1": [3, 2, 1.5], "r0.01": [2, 1.0, 4], "r0.001": [2, 1.9, 1.2]}))
    assert (choice.rate, choice.epoch, choice.val_loss) == (0.01, 2, 1.0)


def test_rates_that_are_near_each_other_keep_their_names_apart():
    near = [0.001, 0.0010000001, 0.00100000010, 1e-05, 1.0]
    assert [sweep_table.rate_name(rate) for rate in near] == ["0.001", "0.0010000001", "0.0010000001", "1e-05", "1"]
    table = _table(**{"r0.001": [2.0], "r0.0010000001": [1.0]})
    assert list(sweep_table.summary(table, sweep_table.choose_best(table))["rates"]) == ["0_001", "0_0010000001"]
    checkpoint_dir = Path("kept")
    assert sweep.result_file(checkpoint_dir, 0.001) != sweep.result_file(checkpoint_dir, 0.0010000001)
    assert sweep.checkpoint_file(checkpoint_dir, 0.001) != sweep.checkpoint_file(checkpoint_dir, 0.0010000001)


def test_of_equals_the_smaller_rate():
    assert sweep_table.choose_best(_table(**{"r0.1": [1.0], "r0.01": [1.0]})).rate == 0.01


def test_a_diverged_rate_is_never_best_however_low_it_was_before():
    table = _table(**{"r0.1": [0.1, None], "r0.01": [2, 1.9]})
    choice = sweep_table.choose_best(table)
    assert choice.rate == 0.01
    rates = sweep_table.summary(table, choice)["rates"]
    assert rates["0_1"] == {"diverged": True, "diverged_epoch": 2}
    assert rates["0_01"] == {"diverged": False, "lowest_val_loss": 1.9}


def test_all_diverged_is_an_error():
    with pytest.raises(DivergedError, match=r"without diverging.*\[0\.1, 1\.0\]"):
        sweep_table.choose_best(_table(**{"r0.1": [None], "r1": [None]}))


@pytest.mark.parametrize(
    ("optimizer", "policy"), [("adam", "float32"), ("sgd_momentum", "float32"), ("adam", "mixed_float16")]
)
def test_a_rate_learns_what_it_learns_alone_whatever_was_tried_before_it(optimizer, policy, tmp_path):
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
    alone = training_loop.fit(model, train, train, replace(schedule, learning_rate=0.001))
    pd.testing.assert_frame_equal(trainings[2].history, alone.history, check_exact=True)
    assert not trainings[1].history.equals(alone.history)
