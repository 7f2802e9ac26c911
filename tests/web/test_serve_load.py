"""`realwaste serve` under load, with clients that go, and at its end: every request that was accepted is answered."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import cv2
import load
import numpy as np
import pytest
from conftest import picture
from fastapi.testclient import TestClient
from web import test_serve
from web.test_serve import _app, _head, _jpeg, _open, _predictor, _sent
from web_server import serving

from benchmarks.parts.child import ROOT
from realwaste.images.file_format import declared_pixel_count
from realwaste.images.reader import decode_image
from realwaste.models import model_file
from realwaste.web.connection import ConnectionLimits
from realwaste.web.predict_route import UploadLimits
from realwaste.web.predictor import PredictionSettings
from realwaste.web.server import StartUpApp

classifier = test_serve.classifier


@pytest.fixture(scope="module")
def models(classifier, tmp_path_factory):
    """A folder with the model, and the network that is made of it once."""
    folder = tmp_path_factory.mktemp("models")
    model_file.save(folder / "cnn.keras", classifier)
    return folder


@contextmanager
def _process(models, folder):
    """The command; gives it with its port. Its temporary files are in `folder`/tmp, its log in `folder`/log."""
    (folder / "tmp").mkdir()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "REALWASTE_CACHE": str(models / "cache"),
        "TMPDIR": str(folder / "tmp"),
    }
    command = [sys.executable, "-m", "realwaste", "serve", "--model", str(models / "cnn.keras"), "--port", "0"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stderr=log) as process,
    ):
        try:
            for _ in range(600):
                if url := re.search(r"http://127\.0\.0\.1:(\d+)/", (folder / "log").read_text()):
                    break
                assert process.poll() is None
                time.sleep(0.1)
            assert url is not None
            yield process, int(url[1])
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port(models, tmp_path_factory):
    with _process(models, tmp_path_factory.mktemp("loaded")) as (_, port):
        yield port


@pytest.mark.parametrize(
    ("clients", "seconds", "keep_alive"),
    [(64, None, False), (100, None, False), (200, 2, True)],
)
def test_under_load_every_request_gets_200_or_503(clients, seconds, keep_alive, port):
    photo = cv2.imencode(".jpg", picture(1, 600, 800), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    outcome = load.send(port, photo, clients, seconds=seconds, keep_alive=keep_alive)
    assert set(outcome.answers) <= {200, 503}
    assert outcome.answers.total() >= clients
    assert outcome.answers[200] >= min(clients, ConnectionLimits().max_requests)
    assert clients > ConnectionLimits().max_requests or outcome.answers[503] == 0
    assert set(outcome.health) == {200}


def test_on_sigterm_accepted_requests_are_answered(models, tmp_path):
    photo = _jpeg(1, 600, 800)
    with _process(models, tmp_path) as (process, port), ExitStack() as connections:
        expecting = _head(len(photo), "Expect: 100-continue\r\n")
        uploads = [connections.enter_context(_sent(("127.0.0.1", port), expecting)) for _ in range(24)]
        for connection in uploads:
            assert connection.recv(65536).startswith(b"HTTP/1.1 100"), "it has been accepted"
        for connection in uploads[:20]:
            connection.sendall(photo)
        process.send_signal(signal.SIGTERM)
        answers = [_received(connection) for connection in uploads]
        assert process.wait(30) == 0
    statuses = [answer[9:12] for answer in answers]
    assert set(statuses[:20]) <= {b"200", b"503"}  # 503 where the machine is too slow to answer in the grace
    assert statuses[20:] == [b"503"] * 4, "uploads that had not come whole when the grace was over"
    for answer in answers:
        if answer[9:12] == b"503":
            assert b"retry-after" in answer
            assert answer.endswith(b'{"error":"The server is shutting down; try again."}')
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert list((tmp_path / "tmp").iterdir()) == []


def _received(connection):
    connection.settimeout(30)
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


@pytest.fixture
def decoding(monkeypatch):
    """Decoding that waits for `go_on` where the file is `slow`, and counts."""
    state = SimpleNamespace(slow=b"", count=0, began=threading.Event(), go_on=threading.Event())

    def wait_if_slow(data):
        state.count += 1
        if data == state.slow:
            state.began.set()
            assert state.go_on.wait(20)
        return decode_image(data)

    monkeypatch.setattr("realwaste.web.predictor.decode_image", wait_if_slow)
    return state


def test_photos_of_a_disconnected_client_are_not_decoded(classifier, decoding):
    decoding.slow = _jpeg(1)
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + decoding.slow + b"\r\n"
    form = 4 * part + b"--x--\r\n"
    app = _app(classifier, max_requests=2)
    with serving(app, ConnectionLimits(max_requests=2)) as where, ExitStack() as queued:
        with _sent(where, _head(len(form), "Content-Type: multipart/form-data; boundary=x\r\n") + form):
            assert decoding.began.wait(20)
            queued.enter_context(_sent(where, _head(len(decoding.slow)) + decoding.slow))
            _wait_until(lambda: _open("http://{}:{}/health/ready".format(*where))[0] == 503)
        queued.close()
        _wait_until(lambda: _open("http://{}:{}/health/ready".format(*where))[0] == 200)
        decoding.go_on.set()
        with _sent(where, _head(len(_jpeg(2))) + _jpeg(2)) as connection:
            assert connection.recv(65536)[9:12] == b"200"
    assert decoding.count == 2, "the one that was being decoded when its client went, and the last"


def _wait_until(holds):
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("this took too long")


def test_other_photos_do_not_wait_for_a_large_one(classifier, decoding):
    decoding.slow = _jpeg(1)

    async def predict_both(predictor):
        large = asyncio.create_task(predictor.classify(io.BytesIO(decoding.slow), 100_000_000, PredictionSettings()))
        assert await asyncio.to_thread(decoding.began.wait, 20)
        await asyncio.wait_for(predictor.classify(io.BytesIO(_jpeg(2)), 4800, PredictionSettings()), 20)
        assert not large.done()
        decoding.go_on.set()
        await asyncio.wait_for(large, 20)

    predictor = _predictor(classifier)
    asyncio.run(predict_both(predictor))
    predictor.close()


def test_the_pixels_of_one_request_are_limited(classifier):
    upload_limits = UploadLimits(pixels=3 * 60 * 80 - 1)
    with TestClient(_app(classifier, upload_limits=upload_limits, max_requests=1)) as client:
        truncated = _jpeg(2)[:-20]  # costs as much as a whole one
        answers = client.post(
            "/predict", files=[("file", ("a", data)) for data in (_jpeg(1), truncated, _jpeg(3))]
        ).json()
    errors = [answer["error"] for answer in answers["answers"]]
    assert errors[0] is None
    assert "truncated JPEG" in errors[1]
    assert errors[2] == "The photos of one request may have at most 0.014399 million pixels together."


def test_an_early_photo_waits_for_the_model_without_a_timeout(classifier):
    """More of it than is read ahead, so that the server, not the client, is who does not go on."""
    start_up_app, data = StartUpApp(max_requests=2), bytes(250_000)
    limits = ConnectionLimits(timeout=0.3, busy_timeout=0.3, min_bytes_per_second=1e7, max_requests=2)
    with serving(start_up_app, limits) as where, _sent(where, _head(len(data)) + data) as connection:
        time.sleep(1)
        start_up_app.app = _app(classifier, max_requests=2)
        assert connection.recv(65536)[9:12] == b"422"


_CHUNKED = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def where(classifier):
    with serving(_app(classifier, max_requests=8), ConnectionLimits()) as where:
        yield where


@pytest.mark.parametrize(("size", "status"), [(1, b"400"), (100, b"200"), (10_000, b"200")])
def test_chunks_of_single_bytes_are_refused(size, status, where):
    data = _jpeg(1, 300, 400)
    assert len(data) > 10_000
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with _sent(where, _CHUNKED + b"\r\n") as connection:
        try:
            connection.sendall(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
            received = connection.recv(65536)
        except OSError:
            received = b"HTTP/1.1 400 was sent, but this side was still sending"
    assert received[9:12] == status


def test_a_body_with_two_lengths_is_refused_and_the_connection_closed(where):
    body = b"3\r\nabc\r\n0\r\n\r\n"
    with _sent(where, _CHUNKED + b"Content-Length: 3\r\n\r\n" + body + b"GET /health HTTP/1.1\r\n\r\n") as connection:
        received = _received(connection)
    assert received[9:12] == b"400"
    assert received.count(b"HTTP/1.1") == 1


def test_the_number_of_pixels_is_read_from_the_header():
    for kind in ("jpg", "png", "webp", "tiff", "bmp", "avif"):
        data = cv2.imencode(f".{kind}", np.zeros((80, 60, 3), np.uint8))[1].tobytes()
        assert declared_pixel_count(data) == 4800, kind
    assert declared_pixel_count(b"") == declared_pixel_count(b"words") == declared_pixel_count(b"\xff\xd8\xff") == 0
