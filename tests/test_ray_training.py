"""Training over two Ray nodes of a core each, started for real: as one process does it, and whatever is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
import pytest
import training_job

from benchmarks.parts.child import ROOT
from benchmarks.parts.ray_nodes import OPEN, Cluster, started
from benchmarks.parts.workspace import set_params

pytestmark = pytest.mark.slow

EPOCHS = 12
CHANGES: dict[str, Any] = {"epochs": EPOCHS, "train": 125, "learning_rate": 0.0001}
LONGEST_S = 240.0


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with started() as cluster:
        yield cluster


class Job:
    """A training in a process of its own. Attributes: epochs, those that it has told of."""

    def __init__(self, nodes: Cluster, folder: Path, checkpoint: str = "t", engine: str = "ray", **more: str) -> None:
        self.out, self.log = folder / "out.npz", folder / "log"
        self.epochs: list[int] = []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "training_job.py", engine, self.out, folder / checkpoint, json.dumps(CHANGES)],
                cwd=ROOT / "tests",
                env=os.environ | OPEN | more | {"RAY_ADDRESS": nodes.address, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.startswith("epoch "):
                    self.epochs.append(int(line.split()[1]))

    def wait_for(self, happened: Callable[[], object]) -> None:
        until = time.monotonic() + LONGEST_S
        while not happened():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)

    def wait_for_epoch(self, number: int) -> None:
        self.wait_for(lambda: self.epochs and self.epochs[-1] >= number)

    def end(self) -> int:
        """The exit status; fails if it takes too long."""
        status = self.process.wait(LONGEST_S)
        self._reader.join()
        return status

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def result(self) -> dict[str, np.ndarray]:
        assert self.end() == 0, self.said()
        with np.load(self.out) as stored:
            return {name: stored[name] for name in stored.files}


def _assert_equal(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def _assert_close(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], atol: float) -> None:
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(nodes: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The training on two nodes; both have a worker."""
    job = Job(nodes, tmp_path_factory.mktemp("undisturbed"))
    job.wait_for_epoch(1)
    assert [len(nodes.workers(node)) for node in (0, 1)] == [1, 1]
    result = job.result()
    assert "training on 2 nodes, cores of each: 1" in job.said()
    assert "lost" not in job.said()
    assert job.epochs[-1] == EPOCHS
    return result


@pytest.fixture(scope="module")
def local() -> dict[str, np.ndarray]:
    built, trained = training_job.run("local", **CHANGES)
    weights = {f"arr_{number}": weight for number, weight in enumerate(built.get_weights())}
    return weights | {"history": trained.history.to_numpy()}


def test_two_nodes_train_as_one_process_does(undisturbed, local):
    np.testing.assert_allclose(undisturbed["history"], local["history"], atol=1e-6)
    _assert_close(undisturbed, local, atol=1e-4)


@pytest.mark.parametrize("epoch", [0, 1, 6, EPOCHS - 1])
@pytest.mark.parametrize("node", [0, 1])
def test_a_killed_worker_costs_an_epoch_at_most(nodes, undisturbed, tmp_path, node, epoch):
    """Node 0 has the first worker, which writes the checkpoint, or the other. Epoch 0: before the first step."""
    job = Job(nodes, tmp_path)
    if epoch:
        job.wait_for_epoch(epoch)
    else:
        job.wait_for(lambda: nodes.workers(node))
    (worker,) = nodes.workers(node)
    worker.kill()
    _assert_equal(job.result(), undisturbed)
    assert "a worker was lost" in job.said() or job.epochs.count(EPOCHS), job.said()


def test_a_killed_job_goes_on_from_its_last_epoch(nodes, undisturbed, tmp_path):
    for epoch in (3, 8):
        job = Job(nodes, tmp_path)
        job.wait_for_epoch(epoch)
        began = time.monotonic()
        job.kill()
        while nodes.workers():
            assert time.monotonic() - began < 60, "workers outlive their job"
            time.sleep(0.1)
    job = Job(nodes, tmp_path)
    _assert_equal(job.result(), undisturbed)
    assert job.epochs[0] > 8


@pytest.mark.parametrize("engines", [("ray", "local"), ("local", "ray")])
def test_an_engine_goes_on_where_the_other_was_killed(nodes, local, tmp_path, engines):
    job = Job(nodes, tmp_path, engine=engines[0])
    job.wait_for_epoch(3)
    job.kill()
    job = Job(nodes, tmp_path, engine=engines[1])
    result = job.result()
    assert job.epochs[0] > 3
    np.testing.assert_allclose(result["history"], local["history"], atol=1e-6)


def test_a_worker_that_hangs_is_replaced(nodes, undisturbed, tmp_path):
    """It neither ends nor gets on, and the other waits for it, until TensorFlow asks whether it is there."""
    job = Job(nodes, tmp_path)
    job.wait_for_epoch(2)
    (stopped,) = nodes.workers(1)
    stopped.send_signal(signal.SIGSTOP)
    _assert_equal(job.result(), undisturbed)
    gone, alive = psutil.wait_procs([stopped], timeout=60)
    assert gone, alive


def test_workers_that_all_hang_end_the_job_with_a_clear_line(nodes, tmp_path):
    """Nobody is left to ask."""
    job = Job(nodes, tmp_path, REALWASTE_RAY_PATIENCE="75")
    job.wait_for_epoch(2)
    stopped = nodes.workers()
    assert len(stopped) == 2
    for worker in stopped:
        worker.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert job.end() == 1
    assert time.monotonic() - began < 120
    assert "A Ray cluster must deliver training steps: none came for 75 s." in " ".join(job.said().split())
    assert "Connecting" not in job.said()
    gone, alive = psutil.wait_procs(stopped, timeout=60)
    assert len(gone) == 2, alive


def test_what_a_worker_refuses_is_said_in_two_lines(nodes, tmp_path):
    job = Job(nodes, tmp_path, checkpoint="not there/t")
    assert job.end() == 1
    assert "Every node of the cluster must have the checkout at the same path." in " ".join(job.said().split())
    assert "Traceback" not in job.said()


def test_a_lost_node_is_done_without(nodes, local, tmp_path):
    """The last test but one: the node does not come back."""
    nodes.add()
    job = Job(nodes, tmp_path)
    job.wait_for_epoch(3)
    assert len(nodes.workers()) == 3
    nodes.kill(2)
    np.testing.assert_allclose(job.result()["history"], local["history"], atol=1e-6)
    assert "training on 3 nodes" in job.said()
    assert "training on 2 nodes" in job.said()


def test_the_stage_gives_what_the_local_one_gives(nodes, ready_to_train, monkeypatch):
    set_params(ready_to_train, base__precision="float32", train_cnn__epochs=4)
    for name, value in {**OPEN, "RAY_ADDRESS": nodes.address}.items():
        monkeypatch.setenv(name, value)
    found = {}
    for engine in ("local", "ray"):
        set_params(ready_to_train, base__engine=engine)
        command = [sys.executable, "-m", "stages", "train_cnn"]
        done = subprocess.run(
            command, cwd=ready_to_train, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
        assert done.returncode == 0, done.stderr
        facts = json.loads((ready_to_train / "metrics/train_cnn.json").read_text(encoding="utf-8"))
        history = np.loadtxt(ready_to_train / "plots/data/history_cnn.csv", delimiter=",", skiprows=1, usecols=range(5))
        weights = keras.saving.load_model(ready_to_train / "models/cnn.keras", compile=False).get_weights()
        found[engine] = facts, history, weights
        assert list((ready_to_train / "data/.state").glob("train_cnn/*")) == []
    ours, theirs = found["ray"], found["local"]
    assert ours[0].keys() == theirs[0].keys()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert ours[0][name] == pytest.approx(theirs[0][name], abs=2e-6), name
    assert ours[0]["temperature"] == pytest.approx(theirs[0]["temperature"], abs=1.01e-4), "four decimals are kept"
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-6)
    for one, other in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
