"""`realwaste predict http://…`: a time limit that holds for every slow server, and Ctrl-C that acts at once."""

import gzip
import json
import signal
import threading
import time
from itertools import islice, repeat
from pathlib import Path

import colours
import pytest
from servers import CHUNK_HEAD, PlayServer, endless
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import predict_download

LIMIT_S, PATIENCE_S = 1.0, 20.0  # the limit under test, and what a busy machine may take beside it


def _trickle(head, pieces=None):
    """An act: `head`, then a piece every tenth second, until the client has gone or the server ends."""

    def act(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n" + head)
        for piece in islice(pieces() if pieces else repeat(b"x"), 2000):
            exchange.send(piece)
            exchange.wait(0.1)

    return act


def _gzip_bytes():
    return (bytes([value]) for value in gzip.compress(bytes(range(256)) * 40, 0))


SLOW_BYTES = _trickle(b"Content-Length: 10000\r\n\r\n")
SLOW_HEADERS = _trickle(b"", lambda: repeat(b"A: b\r\n"))
ACTS = {
    "bytes": SLOW_BYTES,
    "compressed bytes": _trickle(b"Content-Encoding: gzip\r\nContent-Length: 10000\r\n\r\n", _gzip_bytes),
    "chunk head": endless(CHUNK_HEAD, 0.1),
    "headers": SLOW_HEADERS,
    "nothing": _trickle(b"Content-Length: 10000\r\n\r\n", lambda: repeat(b"")),
}


@pytest.fixture
def server(tmp_path, monkeypatch):
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/cnn.keras")
    with PlayServer() as server:
        yield server


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_the_total_time_is_limited(act, server, monkeypatch):
    monkeypatch.setattr(predict_download, "_MAX_DURATION_S", LIMIT_S)
    server.always("photo", act)
    start_s = time.monotonic()
    result = CliRunner().invoke(app, ["predict", server.url("photo"), "-m", "cnn", "--json"])
    assert time.monotonic() - start_s < PATIENCE_S
    assert result.exit_code == 1, result.stderr
    (prediction,) = json.loads(result.stdout)["answers"]
    assert prediction["error"] == "cannot be fetched: the server is too slow"


@pytest.mark.parametrize("options", [[], ["--all-models"]], ids=["one model", "all models"])
@pytest.mark.parametrize("act", [SLOW_BYTES, SLOW_HEADERS], ids=["bytes", "headers"])
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
