"""`realwaste predict http://…`: a limit that holds however a server dawdles, and Ctrl-C that acts at once."""

import gzip
import json
import signal
import threading
import time
from pathlib import Path

import colours
import pytest
from servers import PlayServer, trickled_chunk_head
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import predict_download

LIMIT_S, PATIENCE_S = 1.0, 20.0  # the limit under test, and what a busy machine may take beside it


def _bytes_one_by_one(exchange):
    exchange.start(200, 10_000)
    _trickle(exchange, lambda: exchange.send(b"x"))


def _coded_bytes_one_by_one(exchange):
    exchange.start(200, 10_000, Content_Encoding="gzip")
    data = iter(gzip.compress(bytes(range(256)) * 40, 0))
    _trickle(exchange, lambda: exchange.send(bytes([next(data)])))


def _headers_one_by_one(exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    _trickle(exchange, lambda: exchange.send(b"A: b\r\n"))


def _send_nothing(exchange):
    exchange.start(200, 10_000)
    _trickle(exchange, lambda: None)


def _trickle(exchange, send):
    """Until the client has gone or the server ends."""
    for _ in range(2000):
        send()
        exchange.wait(0.1)


@pytest.fixture
def server(tmp_path, monkeypatch):
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/cnn.keras")
    with PlayServer() as server:
        yield server


ACTS = [_bytes_one_by_one, _coded_bytes_one_by_one, trickled_chunk_head(0.1), _headers_one_by_one, _send_nothing]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__qualname__)
def test_the_limit_of_the_whole_holds(act, server, monkeypatch):
    monkeypatch.setattr(predict_download, "_MAX_DURATION_S", LIMIT_S)
    server.always("photo", act)
    start_s = time.monotonic()
    result = CliRunner().invoke(app, ["predict", server.url("photo"), "-m", "cnn", "--json"])
    assert time.monotonic() - start_s < PATIENCE_S
    assert result.exit_code == 1, result.stderr
    (prediction,) = json.loads(result.stdout)["answers"]
    assert prediction["error"] == "cannot be fetched: the server is too slow"


@pytest.mark.parametrize("options", [[], ["--all-models"]], ids=["one model", "all models"])
@pytest.mark.parametrize("act", [_bytes_one_by_one, _headers_one_by_one], ids=lambda act: act.__name__)
def test_the_first_ctrl_c_ends_the_run(act, options, server):
    colours.save(Path("models/irv2.keras"))
    server.always("photo", act)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in runs in the background
    try:
        timer = threading.Timer(1.0, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        timer.start()
        start_s = time.monotonic()
        result = CliRunner().invoke(app, ["predict", server.url("photo"), *(options or ["-m", "cnn"])])
        assert time.monotonic() - start_s < PATIENCE_S
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130, (result.stderr, result.exception)
