"""What decides about a training on Ray, without a cluster: how many workers, how many losses, which files."""

import importlib.util
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import training_job
from conftest import picture

from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.data_parallel import engines, loop, on_ray, ray_worker
from realwaste.data_parallel.loop import Outcome
from realwaste.data_parallel.progress import Progress
from realwaste.images import reader
from realwaste.training import fitting, pixel_cache, samples

OUTCOME = Outcome([[1.0, 0.5, 1.0, 0.5]], 1.0, 1, [])


@pytest.mark.parametrize(("cores", "workers", "cpus"), [([1], 1, 1), ([2, 2], 2, 2), ([8, 4, 16], 3, 4)])
def test_a_worker_a_node(cores, workers, cpus):
    assert on_ray.plan(cores) == on_ray.Plan(workers, cpus)


def test_no_node_with_a_core():
    with pytest.raises(UserError, match="a node of the Ray cluster with a core"):
        on_ray.plan([])


@pytest.fixture
def lasting(monkeypatch, caplog):
    """lasting([…], …) gives what is yielded while attempt after attempt does as it is told; numbers are epochs."""
    monkeypatch.setattr("ray.put", lambda value: value)
    monkeypatch.setattr(logger, "propagate", True)

    def run(*attempts: list[int | Exception | Outcome]) -> list[Any]:
        coming = iter(attempts)

        def attempt(given, over):
            for what in next(coming):
                if isinstance(what, Exception):
                    raise what
                yield [[0.0]] * what if isinstance(what, int) else what

        monkeypatch.setattr(on_ray, "_attempt", attempt)
        work = loop.Work("{}", [], training_job.schedule(), Path("t"))
        nothing = training_job.samples(2)
        return list(on_ray._lasting(work, nothing, nothing, threading.Event()))

    return run


def _loss() -> on_ray._LostError:
    return on_ray._LostError(RuntimeError("many\nlines\nThe actor is dead. And so on."))


def test_lost_workers_are_counted_from_epoch_to_epoch(lasting, caplog):
    news = lasting([1, _loss()], [_loss()], [2, _loss()], [_loss()], [3, OUTCOME])
    assert news[-1] is OUTCOME
    assert caplog.text.count("a worker was lost, the training goes on from the last epoch") == 4
    assert "The actor is dead\n" in caplog.text


def test_the_reason_is_of_the_worker_that_was_lost_first():
    class GroupError(Exception):
        worker_failures = {  # noqa: RUF012
            0: RuntimeError("trace\nCollective ops is aborted by: Socket closed"),
            1: RuntimeError(
                "The actor is dead. Worker exit detail: Worker was killed due to memory pressure. Memory is"
            ),
        }

    assert on_ray._reason(GroupError()) == "Worker was killed due to memory pressure"
    assert on_ray._reason(RuntimeError("")) == "RuntimeError"
    hung = "trace\nCollective ops is aborted by: peer down\n[[{{node reduce}}]]"
    assert on_ray._reason(RuntimeError(hung)) == "Collective ops is aborted by: peer down"


def test_workers_that_are_lost_again_and_again_end_it(lasting):
    with pytest.raises(UserError, match=r"3 times in a row it did not\. Received: 'The actor is dead'"):
        lasting([1, _loss()], [1, _loss()], [1, _loss()], [1, _loss()])


def test_what_a_worker_refuses_is_not_tried_again(lasting):
    with pytest.raises(UserError, match="wrong version"):
        lasting([UserError("wrong version", "install")], [OUTCOME])


def test_the_progress_keeps_the_newest():
    box = Progress()
    before = box.news()
    box.beat()
    box.epoch([[1.0]])
    box.end(vars(OUTCOME))
    assert (before.beats, before.rows, before.refusal) == (0, [], "")
    assert (box.news().beats, box.news().rows) == (1, [[1.0]])
    assert box.outcome() == vars(OUTCOME)


@pytest.fixture
def splits(tmp_path: Path) -> pd.DataFrame:
    """Six pictures of two classes in tmp_path/raw."""
    (tmp_path / "raw").mkdir()
    for index in range(6):
        cv2.imwrite(str(tmp_path / f"raw/{index}.png"), picture(index))
    return pd.DataFrame(
        {
            "path": [f"{index}.png" for index in range(6)],
            "label": ["a", "b"] * 3,
            "split": ["train"] * 4 + ["val"] * 2,
        }
    )


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_paths_travel_and_a_worker_decodes_what_it_needs_once(splits, tmp_path, monkeypatch, cache):
    read: list[str] = []
    decode = reader.read

    def counted(path, *how):
        read.append(path.name)
        return decode(path, *how)

    monkeypatch.setattr(reader, "read", counted)
    train, val, used = on_ray.pictures(splits, tmp_path / "raw", 16, cache)
    assert used == cache
    own, _ = ray_worker.kept(train, val)
    assert read == []
    eager, eager_val, _ = samples.pictures(splits, tmp_path / "raw", 16, "memory")
    read.clear()
    for index in ([2, 0], [0, 2, 2]):
        np.testing.assert_array_equal(own.inputs[np.array(index)], eager.inputs[np.array(index)])
    assert sorted(set(read)) == ["0.png", "2.png"]
    assert len(read) == (5 if cache == "none" else 2)
    np.testing.assert_array_equal(val.inputs[np.arange(2)], eager_val.inputs)
    np.testing.assert_array_equal(train.labels, eager.labels)


def test_a_worker_keeps_what_its_node_has_room_for(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 0)
    train, val, _ = on_ray.pictures(splits, tmp_path / "raw", 16, "memory")
    own, _ = ray_worker.kept(train, val)
    assert isinstance(own.inputs, pixel_cache.DecodedOnce)
    assert isinstance(own.inputs._pixels, np.memmap)


def test_arrays_are_left_as_they_are():
    given = training_job.samples(4), training_job.samples(2)
    assert ray_worker.kept(*given) == given


def test_a_node_without_the_checkout_is_refused(splits, tmp_path):
    train, _, _ = on_ray.pictures(splits, tmp_path / "raw", 16, "none")
    work = loop.Work("{}", [], training_job.schedule(), tmp_path / "t")
    ray_worker.check_files(work, train)
    (tmp_path / "raw/0.png").unlink()
    with pytest.raises(UserError, match="the checkout at the same path"):
        ray_worker.check_files(work, train)


def test_an_engine_by_its_name(monkeypatch):
    local = engines.of("local")
    assert (local.pictures, local.fit) == (samples.pictures, fitting.fit)
    assert engines.of("ray").fit is on_ray.fit
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs Ray"):
        engines.of("ray")
