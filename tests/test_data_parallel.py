"""Several workers take the steps of one process; here they are threads, or processes in the test that is marked slow.

Threads need no start of TensorFlow, and what they exchange is summed in this process: all but TensorFlow's own
collective operations is what workers on a cluster run.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import training_job

from benchmarks.parts.child import ROOT
from realwaste.compute import fused
from realwaste.data_parallel import loop, replicas
from realwaste.data_parallel.batch_norm import SynchronisedBatchNorm
from realwaste.data_parallel.loop import Outcome
from realwaste.training import batches, result
from realwaste.training.samples import Samples

WAIT_S = 60
EVERYTHING: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 3,
    "decay": "cosine",
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "class_weights": True,
    "patience": 2,
    "train": 22,
}
DRAWN: dict[str, Any] = {
    "head": "gap",
    "dropout": 0.3,
    "augment": {"flip": True, "rotate": 0.1, "zoom": 0.1, "color": 0.2},
}


class Meeting:
    """Threads that wait for each other and leave with the sum of what they brought."""

    def __init__(self, size: int) -> None:
        self.size, self.own = size, threading.local()
        self._brought: list[Any] = [None] * size
        self._barrier = threading.Barrier(size, timeout=WAIT_S)

    def total(self, values: Any) -> Any:
        several, number = isinstance(values, list), self.own.number
        given = values if several else [values]

        def meet(*arrays: np.ndarray) -> list[np.ndarray]:
            self._brought[number] = arrays
            self._barrier.wait()
            sums = [sum(arrays[1:], start=arrays[0]) for arrays in zip(*self._brought, strict=True)]
            self._barrier.wait()
            return sums

        sums = tf.numpy_function(meet, given, [value.dtype for value in given])
        for each, value in zip(sums, given, strict=True):
            each.set_shape(value.shape)
        return sums if several else sums[0]

    def run(self, work: Callable[[Any], Outcome]) -> list[Outcome]:
        def one(number: int) -> Outcome:
            self.own.number = number
            strategy = SimpleNamespace(
                num_replicas_in_sync=self.size,
                cluster_resolver=SimpleNamespace(task_id=number),
                run=lambda function, args: function(*args),
            )
            try:
                return work(strategy)
            except BaseException:
                self._barrier.abort()
                raise

        with ThreadPoolExecutor(self.size) as threads:
            return list(threads.map(one, range(self.size)))


@pytest.fixture
def meet(monkeypatch):
    """meet(2, function) runs function(strategy) in two threads that are workers of one training."""

    def run(size: int, work: Callable[[Any], Outcome]) -> list[Outcome]:
        meeting = Meeting(size)
        monkeypatch.setattr(replicas, "count", lambda: size)
        monkeypatch.setattr(replicas, "index", lambda: meeting.own.number)
        monkeypatch.setattr(replicas, "total", meeting.total)
        return meeting.run(work)

    return run


def _together(meet, size: int, **job: Any) -> list[Outcome]:
    """The outcomes of `size` workers, of the same start."""
    changes = {key: value for key, value in job.items() if key not in {"train", "val", "build"}}
    work = loop.work_of(training_job.model(**job.get("build", {})), training_job.schedule(**changes), None)
    train, val = training_job.samples(job.get("train", 41)), training_job.samples(job.get("val", 11))
    return meet(size, lambda strategy: loop.fit(work, train, val, strategy))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("changed", [{}, EVERYTHING], ids=["plain", "every option"])
def test_workers_take_the_steps_of_one_process(meet, size, changed):
    outcomes = _together(meet, size, **changed)
    built, local = training_job.run("local", **changed)
    for outcome in outcomes:
        np.testing.assert_allclose(outcome.rows, local.history[result.METRICS], atol=1e-6)
        assert outcome.best_epoch == local.kept_epoch
        for ours, theirs in zip(outcome.weights, built.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-4)
    for ours, theirs in zip(outcomes[0].weights, outcomes[-1].weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_more_workers_than_rows(meet):
    """Each then has them all, and a moving statistic or a mean is none the wiser."""
    changed: dict[str, Any] = {"epochs": 2, "batch_size": 1, "train": 7}
    outcomes = _together(meet, 2, **changed)
    _, local = training_job.run("local", **changed)
    for outcome in outcomes:
        np.testing.assert_allclose(outcome.rows, local.history[result.METRICS], atol=1e-6)


def test_one_worker_draws_what_one_process_draws(meet):
    changed: dict[str, Any] = {"build": DRAWN, "epochs": 3}
    (outcome,) = _together(meet, 1, **changed)
    _, local = training_job.run("local", **changed)
    np.testing.assert_allclose(outcome.rows, local.history[result.METRICS], atol=1e-5)


def test_several_workers_draw_apart():
    twins = [fused.twin(training_job.model(**DRAWN), "float32") for _ in range(2)]
    rows = np.ones((1, training_job.SIZE, training_job.SIZE, 3), np.uint8)
    twins[1].set_weights(twins[0].get_weights())
    for worker, twin in enumerate(twins):
        loop._draw_apart(twin, worker)
    for ours, theirs in zip(twins[0].get_weights(), twins[1].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg="no weight is touched")
    first, second = (twin(rows, training=True).numpy() for twin in twins)
    assert np.abs(first - second).max() > 1e-4


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_learns_and_stays_in_step(meet, policy):
    first, second = _together(meet, 2, dtype_policy=policy)
    _, local = training_job.run("local", dtype_policy=policy)
    assert first.rows == second.rows
    assert first.rows[-1][0] < first.rows[0][0]
    # Before rounding errors have grown with every step.
    np.testing.assert_allclose(first.rows[0], local.history[result.METRICS].iloc[0], atol=5e-3)
    for ours, theirs in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_loss_that_is_no_number_ends_it_in_the_same_epoch(meet):
    outcomes = _together(meet, 2, learning_rate=1e38)
    _, local = training_job.run("local", learning_rate=1e38)
    for outcome in outcomes:
        found = result.training_of(outcome.rows, outcome.seconds, outcome.best_epoch)
        assert found.diverged_epoch == local.diverged_epoch
        assert len(found.history) == len(local.history)


def test_the_saved_model_answers_as_the_live_one(meet, tmp_path):
    """Validation was computed by the workers' own copies, with their moving statistics."""
    outcome, _ = _together(meet, 2)
    built = training_job.model()
    built.set_weights(outcome.weights)
    built.save(tmp_path / "m.keras")
    loaded, val = keras.saving.load_model(tmp_path / "m.keras"), training_job.samples(11)
    losses = keras.losses.sparse_categorical_crossentropy(val.labels, loaded.predict_on_batch(val.inputs))
    assert float(np.mean(losses)) == pytest.approx(outcome.rows[-1][2], abs=1e-6)


def test_workers_go_on_bit_for_bit(meet, tmp_path):
    changed: dict[str, Any] = {"epochs": 4, "decay": "cosine", "patience": 3}

    def run(checkpoint=None, stop=None):
        schedule = training_job.schedule(**changed)
        work = loop.work_of(training_job.model(**DRAWN), schedule, checkpoint)

        def live(rows):
            if len(rows) == stop:
                raise InterruptedError

        train, val = training_job.samples(41), training_job.samples(11)
        return meet(2, lambda strategy: loop.fit(work, train, val, strategy, live=live))[0]

    whole = run()
    with pytest.raises(InterruptedError):
        run(tmp_path / "t", stop=2)
    resumed = run(tmp_path / "t")
    assert resumed.rows == whole.rows
    for ours, theirs in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_workers_that_read_other_checkpoints_refuse(meet, tmp_path):
    training_job.run("local", tmp_path / "t", epochs=2)
    works = [loop.work_of(training_job.model(), training_job.schedule(), path) for path in (tmp_path / "t", None)]
    train, val = training_job.samples(41), training_job.samples(11)
    with pytest.raises(RuntimeError, match=r"different epochs: \[2, 0\]"):
        meet(2, lambda one: loop.fit(works[one.cluster_resolver.task_id], train, val, one))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batch_norm_over_workers_is_batch_norm_over_the_batch(meet, dtype):
    """Outputs, all gradients and moving statistics, of 5 and 2 rows, and with a mean far from 0."""
    rng = np.random.default_rng(0)
    rows, slopes = (rng.normal(mean, 1, (7, 4, 4, 3)).astype(np.float32) for mean in (30, 0))
    scale, offset = np.array([[1.5, 0.5, 2], [0.1, -1, 0]], np.float32)

    def passed(layer, own):
        layer.build(rows.shape)
        layer.gamma.assign(scale)
        layer.beta.assign(offset)

        def forth_and_back(inputs, slope):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs, training=True)
            return [outputs, *tape.gradient(outputs, [inputs, layer.gamma.value, layer.beta.value], slope)]

        given = [tf.cast(values[own], dtype) for values in (rows, slopes)]
        found = [np.asarray(tf.cast(value, tf.float32)) for value in tf.function(forth_and_back)(*given)]
        return [*found, layer.moving_mean.numpy(), layer.moving_variance.numpy()]

    parts = [slice(0, 5), slice(5, 7)]
    policy = keras.DTypePolicy(dtype if dtype == "float32" else f"mixed_{dtype}")
    one, other = meet(2, lambda s: passed(SynchronisedBatchNorm(dtype=policy), parts[s.cluster_resolver.task_id]))
    whole = passed(keras.layers.BatchNormalization(), slice(None)) if dtype == "float32" else None
    if whole is None:
        dtype, exact = "float32", keras.layers.BatchNormalization()
        rows, slopes = (np.asarray(tf.cast(tf.cast(values, tf.bfloat16), tf.float32)) for values in (rows, slopes))
        whole = passed(exact, slice(None))
    atol = 2e-5 if policy.compute_dtype == "float32" else 0.04
    for place in (0, 1):
        np.testing.assert_allclose(np.concatenate([one[place], other[place]]), whole[place], atol=atol)
    for place in (2, 3):
        np.testing.assert_allclose(one[place] + other[place], whole[place], rtol=1e-3, atol=10 * atol)
    for place in (4, 5):
        np.testing.assert_array_equal(one[place], other[place])
        np.testing.assert_allclose(one[place], whole[place], rtol=1e-5)


@pytest.mark.parametrize(("rows", "count"), [(8, 1), (8, 2), (7, 3), (3, 3), (2, 3), (1, 5)])
def test_parts_are_the_batch(rows, count):
    batch = tf.range(rows)
    parts = [batches.Part(index, count) for index in range(count)]
    taken = [part.of(batch).numpy().tolist() for part in parts]
    assert sum(map(len, taken)) == parts[0].rows(rows)
    if rows < count:
        assert taken == [list(range(rows))] * count
    else:
        assert [row for own in taken for row in own] == list(range(rows))
        assert max(map(len, taken)) - min(map(len, taken)) <= 1
    ranges = [range(*part.range(rows)) for part in parts]
    assert [row for own in ranges for row in own] == list(range(rows))


def test_a_part_of_each_batch_in_the_order_of_all():
    numbers = Samples(np.arange(10), np.arange(10))
    order: dict[str, Any] = {"batch_size": 4, "epochs": 2, "seed": 5, "shuffle": True}
    whole = [batch.numpy().tolist() for batch, _ in batches.shuffled(numbers, **order)]
    parts = [
        [batch.numpy().tolist() for batch, _ in batches.shuffled(numbers, **order, part=batches.Part(index, 2))]
        for index in range(2)
    ]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


@pytest.mark.slow
def test_processes_without_ray_take_the_steps_of_one(tmp_path):
    """TensorFlow's own collective operations, over the loopback: three workers, of one row or two."""
    jobs: list[dict[str, Any]] = [{}, EVERYTHING]
    with closing(socket.socket()) as one, closing(socket.socket()) as two, closing(socket.socket()) as three:
        for free in (one, two, three):
            free.bind(("127.0.0.1", 0))
        ports = ",".join(str(free.getsockname()[1]) for free in (one, two, three))
    command = [sys.executable, "training_worker.py"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    processes = [
        subprocess.Popen(
            [*command, str(rank), ports, json.dumps(jobs), str(tmp_path / str(rank))],
            cwd=ROOT / "tests",
            env=environment,
        )
        for rank in range(3)
    ]
    try:
        assert [process.wait(240) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for number, job in enumerate(jobs):
        found = [np.load(tmp_path / f"{rank}.{number}.npz") for rank in range(3)]
        built, local = training_job.run("local", **job)
        np.testing.assert_allclose(found[0]["rows"], local.history[result.METRICS], atol=1e-6)
        for place, theirs in enumerate(built.get_weights()):
            np.testing.assert_allclose(found[0][f"arr_{place}"], theirs, atol=2e-4)
            for other in found[1:]:
                np.testing.assert_array_equal(other[f"arr_{place}"], found[0][f"arr_{place}"])
