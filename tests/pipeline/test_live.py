"""`dvc plots` in a checkout in which `dvc repro` is training: it draws the finished epochs."""

import json
import subprocess
import time

import psutil
import pytest
from tiny_pipeline import BIN, run

from benchmarks.parts.workspace import set_params

LOG = "repro.log"


@pytest.fixture
def training(ready_to_train):
    """A checkout in which a quiet `dvc repro` trains the CNN without end. Its output goes to LOG."""
    root = ready_to_train
    set_params(root, train_cnn__epochs=100_000)
    (root / "plots/data/history_cnn.csv").unlink()  # from the committed run; DVC deletes it too
    with (root / LOG).open("wb") as log_file:
        dvc = subprocess.Popen(
            [BIN / "dvc", "repro", "-q", "-s", "train_cnn"], cwd=root, stdout=log_file, stderr=log_file
        )
        yield root, dvc
        stages = psutil.Process(dvc.pid).children(recursive=True)
        dvc.kill()
        dvc.wait()
        psutil.wait_procs(stages, timeout=10)


def test_dvc_plots_draws_the_finished_epochs_while_train_cnn_runs(training):
    root, dvc = training
    epochs = _count_drawn_epochs(root)
    assert dvc.poll() is None, "the training must still run"
    assert 1 <= epochs < 100_000
    assert (root / LOG).read_text() == "", "a quiet run prints nothing"


def _count_drawn_epochs(root) -> int:
    """Wait for the first epoch. Returns the number of epochs that `dvc plots show` draws."""
    deadline = time.monotonic() + 60
    while not (root / "plots/data/history_cnn.csv").is_file():
        assert time.monotonic() < deadline, (root / LOG).read_text()
        time.sleep(0.2)
    plots = json.loads(run(root, "dvc", "plots", "show", "--json", "loss_cnn").partition("\n")[0])
    assert "errors" not in plots
    rows = plots["data"]["loss_cnn"][0]["content"]["data"]["values"]
    epochs = sorted({int(row["epoch"]) for row in rows})
    assert epochs == list(range(1, len(epochs) + 1))
    assert {row["field"] for row in rows} == {"loss", "val_loss"}
    return len(epochs)
