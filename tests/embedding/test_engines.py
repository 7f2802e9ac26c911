"""base.engine without a cluster: which engine is chosen, the error without Ray, and the parts of an embedding."""

import importlib.util
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest

from benchmarks.parts.child import ROOT
from realwaste.cluster import connection, waiting, worker_environment
from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.embedding import extraction, ray_extraction
from realwaste.runtime import array_file, determinism
from realwaste.training import ray_sweep, samples, sweep


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    "get_engine",
    [lambda name: extraction.create_embedder(name, keras.Sequential()), sweep.create_runner],
    ids=["embedding", "sweep"],
)
def test_without_ray_the_extra_is_named(get_engine, without_ray):
    get_engine("local")
    with pytest.raises(UserError, match=r"(?s)base\.engine=ray needs Ray.*make setup-dev`, or pip install '\.\[ray\]'"):
        get_engine("ray")


def test_an_engine_is_chosen_by_its_name():
    model = keras.Sequential()
    by_ray, local = (cast("partial[Any]", extraction.create_embedder(name, model)) for name in ("ray", "local"))
    assert by_ray.func is ray_extraction.embed
    assert local.func is not ray_extraction.embed
    assert sweep.create_runner("ray") is ray_sweep.run_sweep


def test_the_local_engine_starts_without_ray():
    code = (
        "import sys; from realwaste.embedding import extraction; extraction.create_embedder('local', None); "
        "from realwaste.training import sweep; sweep.create_runner('local'); "
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code + "print('ray' in sys.modules)"], capture_output=True, env=environment, check=True
    )
    assert done.stdout.strip() == b"False"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster_is_reported_at_once(monkeypatch, address):
    monkeypatch.setenv(connection.ADDRESS, address)
    start = time.monotonic()
    with pytest.raises(UserError, match="RAY_ADDRESS must be the address"), connection.connected():
        pass
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("token", "mode", "sent_mode"), [(True, None, "token"), (False, None, None), (True, "disabled", "disabled")]
)
def test_a_token_is_sent_to_a_cluster_that_ray_address_names(monkeypatch, tmp_path, token, mode, sent_mode):
    """By itself Ray 2.60 sends it only to a cluster that it has found by itself."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", connection.AUTHENTICATION):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), connection.ADDRESS: "head:1", connection.AUTHENTICATION: mode}.items():
        if value:
            monkeypatch.setenv(name, value)
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text("0" * 64)
    environments = []

    def init(**_):
        environments.append(dict(os.environ))
        raise ConnectionError("failed to connect")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr(connection, "_check_listening", lambda address: None)
    before = dict(os.environ)
    with pytest.raises(UserError, match=r"~/\.ray/auth_token must be here too"), connection.connected():
        pass
    assert environments[0].get(connection.AUTHENTICATION) == sent_mode
    assert environments[0]["RAY_USAGE_STATS_ENABLED"] == "0"
    assert dict(os.environ) == before


def test_waiting_for_results_times_out(monkeypatch):
    monkeypatch.setenv(waiting.TIMEOUT_VARIABLE, "0.2")

    def slow():
        yield 1
        time.sleep(5)

    results = waiting.with_timeout(slow(), "vectors")
    assert next(results) == 1
    with pytest.raises(UserError, match=r"must deliver vectors: none came for 0\.2 s"):
        next(results)


@pytest.mark.parametrize("error", [KeyError("x"), UserError("rule", "remedy", 3)])
def test_an_error_of_the_thread_is_raised(error):
    def failing():
        yield 1
        raise error

    with pytest.raises(type(error)) as caught:
        list(waiting.with_timeout(failing(), "vectors"))
    assert caught.value is error


@pytest.mark.parametrize("received", [None, "no /pictures on node 10.0.0.2", {"keras": "1.0"}, 3])
def test_an_error_of_a_worker_survives_the_transport(received):
    error = UserError("Every node must have the images.", "Share «them».", received)
    assert str(worker_environment.error_from_text(worker_environment.error_to_text(error))) == str(error)


def test_values_that_json_does_not_support_are_transported_as_text():
    text = worker_environment.error_to_text(UserError("rule", "remedy", Path("a")))
    assert worker_environment.error_from_text(text).received == "a"


def _node(cpus, alive=True):
    return {"Alive": alive, "Resources": {} if cpus is None else {"CPU": cpus}}


@pytest.mark.parametrize(
    ("nodes", "cores", "total"),
    [
        ([_node(1.0)], [1], 1),
        ([_node(8), _node(None), _node(4)], [8, 4], 12),
        ([_node(4), _node(4, alive=False)], [4], 4),
        ([_node(None), _node(4, alive=False)], [], 1),
        ([], [], 1),
    ],
)
def test_cores_are_counted_on_nodes_that_are_alive_and_have_some(monkeypatch, nodes, cores, total):
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    assert connection.cores_per_node() == cores
    assert connection.count_cpus() == total


def test_the_timeout_must_be_a_number(monkeypatch):
    assert waiting.timeout_s() == waiting.DEFAULT_TIMEOUT_S
    monkeypatch.setenv(waiting.TIMEOUT_VARIABLE, "90")
    assert waiting.timeout_s() == 90
    monkeypatch.setenv(waiting.TIMEOUT_VARIABLE, "long")
    with pytest.raises(UserError, match="number of seconds"):
        waiting.timeout_s()


def test_a_worker_with_other_library_versions_is_rejected():
    with pytest.raises(UserError, match="libraries of the machine that starts the stage"):
        worker_environment.match_sender(
            {**determinism.library_versions(), "keras": "1.0"}, seed=0, deterministic=True, threads=1
        )


@pytest.mark.parametrize("count", [1, 7, 100, 999])
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("actors", [1, 2, 64])
def test_parts_cover_each_row_once_in_complete_batches(count, batch_size, actors):
    rows = ray_extraction._rows_per_part(count, batch_size, actors)
    assert rows % batch_size == 0
    for earlier in ({}, {0: 2 * batch_size}, {3 * batch_size: batch_size, 7 * batch_size: 4 * batch_size}):
        finished = {start: min(length, count - start) for start, length in earlier.items() if start < count}
        parts = ray_extraction._missing_parts(count, finished, rows)
        covered = [row for start, stop in parts for row in range(start, stop)]
        covered += [row for start, length in finished.items() for row in range(start, start + length)]
        assert sorted(covered) == list(range(count))
        assert all(start % batch_size == 0 for start, _ in parts)


def test_rows_that_are_missing_or_overlap_are_an_error():
    ray_extraction._require_all({0: 5, 5: 3}, 8)
    for counts in ({0: 5}, {0: 5, 6: 2}, {0: 5, 4: 4}, {5: 3}, {0: 5, 5: 3, 8: 1}, {}):
        with pytest.raises(RuntimeError):
            ray_extraction._require_all(counts, 8)


def test_a_damaged_part_is_computed_again(tmp_path):
    for start in (0, 4):
        arrays = [np.ones((4, 2), np.float32), np.array(1.5 + start)]
        array_file.write(extraction.part_file(tmp_path, start), arrays)
    assert ray_extraction._restore(tmp_path) == ({0: 4, 4: 4}, 5.5)
    data = extraction.part_file(tmp_path, 4).read_bytes()
    extraction.part_file(tmp_path, 4).write_bytes(data[:-9])
    assert ray_extraction._restore(tmp_path) == ({0: 4}, 1.5)


def test_trials_of_one_machine_share_its_memory(tmp_path, images, monkeypatch):
    from realwaste.dataset import manifest, split

    root = images(glass=6, metal=6)
    table, *_ = manifest.scan(root)
    splits = split.stratified(table, train=0.5, val=0.25, test=0.25, seed=0)
    monkeypatch.setattr(machine, "free_memory", lambda: 4 * 9 * 16 * 16 * 3)
    assert samples.load_pictures(splits, root, 16, "memory")[2] == "memory"
    assert samples.load_pictures(splits, root, 16, "memory", side_by_side=2)[2] == "memory"
    assert samples.load_pictures(splits, root, 16, "memory", side_by_side=3)[2] == "disk"
