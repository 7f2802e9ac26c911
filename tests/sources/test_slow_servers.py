"""`realwaste predict http://…`: the time limit holds for every slow server, and Ctrl-C ends the run at once."""

import gzip
import json
import signal
import threading
import time
from itertools import repeat
from pathlib import Path

import colours
import pytest
from servers import CHUNK_HEAD, PlayServer, endless
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import predict_download

LIMIT_S, MAX_ELAPSED_S = 1.0, 20.0  # the limit under test, and the longest run on a busy machine

LENGTH = b"Content-Length: 10000\r\n\r\n"
GZIP_BYTES = [bytes([value]) for value in gzip.compress(bytes(range(256)) * 40, 0)]
SLOW_BYTES = endless(LENGTH, 0.1)
SLOW_HEADERS = endless(b"", 0.1, repeat(b"A: b\r\n"))
ACTS = {
    "bytes": SLOW_BYTES,
    "compressed bytes": endless(b"Content-Encoding: gzip\r\n" + LENGTH, 0.1, GZIP_BYTES),
    "chunk header": endless(CHUNK_HEAD, 0.1),
    "headers": SLOW_HEADERS,
    "nothing": endless(LENGTH, 0.1, repeat(b"")),
}


@pytest.fixture
def server(tmp_path, monkeypatch):
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/cnn.keras")
    with PlayServer() as server:
        yield server


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_the_total_time_of_a_download_is_limited(act, server, monkeypatch):
    monkeypatch.setattr(predict_download, "_MAX_DURATION_S", LIMIT_S)
    server.always("photo", act)
    start_s = time.monotonic()
    result = CliRunner().invoke(app, ["predict", server.url("photo"), "-m", "cnn", "--json"])
    assert time.monotonic() - start_s < MAX_ELAPSED_S
    assert result.exit_code == 1, result.stderr
    (prediction,) = json.loads(result.stdout)["answers"]
    assert prediction["error"] == "cannot be fetched: the server is too slow"


@pytest.mark.parametrize("options", [[], ["--all-models"]], ids=["one model", "all models"])
@pytest.mark.parametrize("act", [SLOW_BYTES, SLOW_HEADERS], ids=["bytes", "headers"])
def test_the_first_ctrl_c_ends_the_run(act, options, server):
    colours.save(Path("models/irv2.keras"))
    server.always("photo", act)
    timer = threading.Timer(1.0, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    start_s = time.monotonic()
    try:
        result = CliRunner().invoke(app, ["predict", server.url("photo"), *(options or ["-m", "cnn"])])
        assert time.monotonic() - start_s < MAX_ELAPSED_S
    finally:
        timer.cancel()
    assert result.exit_code == 130, (result.stderr, result.exception)
