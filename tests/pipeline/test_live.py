"""`dvc plots` in the same checkout while `dvc repro` trains there: the epochs so far."""

import json
import subprocess
import time

import psutil
import pytest
from tiny_pipeline import BIN, run

from benchmarks.parts.workspace import set_params


@pytest.fixture
def training(ready_to_train):
    """A checkout in which a quiet `dvc repro` trains the CNN without an end; what it says goes to the file `said`."""
    root = ready_to_train
    set_params(root, train_cnn__epochs=100_000)
    (root / "plots/data/history_cnn.csv").unlink()  # of the committed run; DVC deletes it too
    with (root / "said").open("wb") as log_file:
        dvc = subprocess.Popen(
            [BIN / "dvc", "repro", "-q", "-s", "train_cnn"], cwd=root, stdout=log_file, stderr=log_file
        )
        yield root, dvc
        stages = psutil.Process(dvc.pid).children(recursive=True)
        dvc.kill()
        dvc.wait()
        psutil.wait_procs(stages, timeout=10)


def test_the_curves_so_far_are_drawn_while_the_stage_runs(training):
    root, dvc = training
    drawn = _epochs(root)
    assert dvc.poll() is None, "still training"
    assert 1 <= drawn < 100_000
    assert (root / "said").read_text() == "", "a quiet run says nothing"


def _epochs(root) -> int:
    """How many epochs `dvc plots show` draws, once there is one."""
    deadline = time.monotonic() + 60
    while not (root / "plots/data/history_cnn.csv").is_file():
        assert time.monotonic() < deadline, (root / "said").read_text()
        time.sleep(0.2)
    shown = json.loads(run(root, "dvc", "plots", "show", "--json", "loss_cnn").partition("\n")[0])
    assert "errors" not in shown
    rows = shown["data"]["loss_cnn"][0]["content"]["data"]["values"]
    epochs = sorted({int(row["epoch"]) for row in rows})
    assert epochs == list(range(1, len(epochs) + 1))
    assert {row["field"] for row in rows} == {"loss", "val_loss"}
    return len(epochs)
