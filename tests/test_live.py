"""`dvc plots` in the same checkout while `dvc repro` trains there: the epochs so far."""

import json
import subprocess
import time

import psutil
import pytest
from conftest import Images
from test_repro import BIN, _run

from benchmarks.workspace import copy_checkout, set_params
from realwaste import split
from realwaste.atomic import write_csv, write_json
from realwaste.manifest import scan


@pytest.fixture
def training(tmp_path, images: Images):
    """A checkout in which `dvc repro` trains the CNN on a few small pictures, without an end."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    set_params(root, train_cnn__image_size=16, train_cnn__epochs=100_000)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "plots/data/history_cnn.csv").unlink()  # of the committed run; DVC deletes it too
    images(inside="checkout/data/raw", glass=12, paper=12)
    manifest, _ = scan(root / "data/raw")
    write_csv(root / "data/splits.csv", split.stratified(manifest, train=0.5, val=0.25, test=0.25, seed=0))
    write_json(root / "data/dataset.json", {"dataset": "drawn"})
    dvc = subprocess.Popen([BIN / "dvc", "repro", "-q", "-s", "train_cnn"], cwd=root)
    yield root, dvc
    stages = psutil.Process(dvc.pid).children(recursive=True)
    dvc.kill()
    dvc.wait()
    psutil.wait_procs(stages, timeout=10)


def test_the_curves_so_far_are_drawn_while_the_stage_runs(training):
    root, dvc = training
    drawn = [_epochs(root, after=0), 0]
    drawn[1] = _epochs(root, after=drawn[0])
    assert dvc.poll() is None, "still training"
    assert drawn[1] > drawn[0] >= 1


def _epochs(root, after: int) -> int:
    """How many epochs `dvc plots show` draws, once it draws more than `after`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (root / "plots/data/history_cnn.csv").is_file():
            shown = json.loads(_run(root, "dvc", "plots", "show", "--json", "loss_cnn").partition("\n")[0])
            assert "errors" not in shown
            rows = shown["data"]["loss_cnn"][0]["content"]["data"]["values"]
            epochs = sorted({int(row["epoch"]) for row in rows})
            assert epochs == list(range(1, len(epochs) + 1))
            assert {row["field"] for row in rows} == {"loss", "val_loss"}
            if len(epochs) > after:
                return len(epochs)
        time.sleep(0.2)
    raise TimeoutError("no further epoch")
