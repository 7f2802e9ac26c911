"""Connections to Ray, timeouts, and the checks of workers; these tests need no cluster."""

import os
import time
from pathlib import Path

import pytest

from realwaste.cluster import connection, waiting, worker_environment
from realwaste.core.errors import UserError
from realwaste.runtime import determinism


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
    """Ray 2.60 alone sends its token only to clusters that it finds itself."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", connection.AUTHENTICATION):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), connection.ADDRESS: "head:1", connection.AUTHENTICATION: mode}.items():
        if value:
            monkeypatch.setenv(name, value)
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text("0" * 64)
    environments = []

    def failing_init(**_):
        environments.append(dict(os.environ))
        raise ConnectionError("failed to connect")

    monkeypatch.setattr("ray.init", failing_init)
    monkeypatch.setattr(connection, "_check_listening", lambda address: None)
    environment_before = dict(os.environ)
    with pytest.raises(UserError, match=r"~/\.ray/auth_token must be here too"), connection.connected():
        pass
    assert environments[0].get(connection.AUTHENTICATION) == sent_mode
    assert environments[0]["RAY_USAGE_STATS_ENABLED"] == "0"
    assert dict(os.environ) == environment_before


def test_waiting_for_results_times_out(monkeypatch):
    monkeypatch.setenv(waiting.TIMEOUT_VARIABLE, "0.2")

    def yield_slowly():
        yield 1
        time.sleep(5)

    results = waiting.with_timeout(yield_slowly(), "vectors")
    assert next(results) == 1
    with pytest.raises(UserError, match=r"must deliver vectors: none came for 0\.2 s"):
        next(results)


@pytest.mark.parametrize("error", [KeyError("x"), UserError("rule", "remedy", 3)])
def test_an_error_in_the_background_thread_is_raised(error):
    def yield_then_fail():
        yield 1
        raise error

    with pytest.raises(type(error)) as caught:
        list(waiting.with_timeout(yield_then_fail(), "vectors"))
    assert caught.value is error


@pytest.mark.parametrize("received", [None, "no /pictures on node 10.0.0.2", {"keras": "1.0"}, 3])
def test_an_error_of_a_worker_is_serialized_and_restored(received):
    error = UserError("Every node must have the images.", "Share «them».", received)
    assert str(worker_environment.error_from_text(worker_environment.error_to_text(error))) == str(error)


def test_values_that_json_does_not_support_are_serialized_as_text():
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
def test_cores_are_counted_on_live_nodes_with_cpus(monkeypatch, nodes, cores, total):
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
    with pytest.raises(UserError, match="libraries of the machine that starts the work"):
        worker_environment.match_sender(
            {**determinism.library_versions(), "keras": "1.0"}, seed=0, deterministic=True, threads=1
        )
