"""`realwaste serve` under load, with clients that disconnect, and at shutdown: accepted requests are answered."""

import asyncio
import io
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import cv2
import load
import numpy as np
import pytest
from conftest import picture
from fastapi.testclient import TestClient
from web import test_serve
from web.test_serve import _build_app, _build_predictor, _connect, _encode_jpeg, _post_head, _serve
from web_server import command_serving, request_json, serving

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
    """A folder with the model, and with a cache for its converted network."""
    folder = tmp_path_factory.mktemp("models")
    model_file.save(folder / "cnn.keras", classifier)
    return folder


@contextmanager
def _run_command(models, folder, python_path=str(ROOT / "src")):
    """Run the command; yields the process and its port. `folder` gets its temporary files and its log."""
    (folder / "tmp").mkdir()
    variables = {"REALWASTE_CACHE": str(models / "cache"), "TMPDIR": str(folder / "tmp")}
    arguments = ["serve", "--model", str(models / "cnn.keras")]
    with command_serving(folder, *arguments, python_path=python_path, **variables) as (process, url):
        yield process, urlsplit(url).port


@pytest.fixture(scope="module")
def port(models, tmp_path_factory):
    with _run_command(models, tmp_path_factory.mktemp("loaded")) as (_, port):
        yield port


@pytest.mark.parametrize(
    ("clients", "seconds", "keep_alive"),
    [(64, None, False), (100, None, False), (200, 2, True)],
)
def test_under_load_every_request_gets_200_or_503(clients, seconds, keep_alive, port):
    photo = cv2.imencode(".jpg", picture(1, 600, 800), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    answers, health = load.send(port, photo, clients, seconds=seconds, keep_alive=keep_alive)
    assert set(answers) <= {200, 503}
    assert answers.total() >= clients
    assert answers[200] >= min(clients, ConnectionLimits().max_requests)
    assert clients > ConnectionLimits().max_requests or answers[503] == 0
    assert set(health) == {200}


def test_on_sigterm_accepted_requests_are_answered(models, tmp_path):
    photo = _encode_jpeg(1, 600, 800)
    with _run_command(models, tmp_path) as (process, port), ExitStack() as connections:
        request_head = _post_head(len(photo), "Expect: 100-continue\r\n")
        uploads = [connections.enter_context(_connect(("127.0.0.1", port), request_head)) for _ in range(24)]
        for connection in uploads:
            assert connection.recv(65536).startswith(b"HTTP/1.1 100"), "the server has accepted the request"
        for connection in uploads[:20]:
            connection.sendall(photo)
        process.send_signal(signal.SIGTERM)
        responses = [_receive_all(connection) for connection in uploads]
        assert process.wait(30) == 0
    statuses = [response[9:12] for response in responses]
    assert set(statuses[:20]) <= {b"200", b"503"}  # 503 if the machine is too slow for the grace period
    assert statuses[20:] == [b"503"] * 4, "uploads that are incomplete after the grace period"
    for response in responses:
        if response[9:12] == b"503":
            assert b"retry-after" in response
            assert response.endswith(b'{"error":"The server is shutting down; try again."}')
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_on_sigterm_the_server_does_not_wait_for_the_import_of_tensorflow(models, tmp_path):
    tensorflow = tmp_path / "packages" / "tensorflow" / "__init__.py"
    tensorflow.parent.mkdir(parents=True)
    tensorflow.write_text("import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(120)\n")
    python_path = os.pathsep.join([str(tensorflow.parents[1]), str(ROOT / "src")])
    with _run_command(models, tmp_path, python_path) as (process, _):
        _wait_until((tmp_path / "importing").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def _receive_all(connection):
    connection.settimeout(30)
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


@pytest.fixture
def slow_decoding(monkeypatch):
    """Decoding that is counted, and waits for `go_on` if the file is `slow`."""
    state = SimpleNamespace(slow=b"", count=0, started=threading.Event(), go_on=threading.Event())

    def wait_if_slow(data):
        state.count += 1
        if data == state.slow:
            state.started.set()
            assert state.go_on.wait(20)
        return decode_image(data)

    monkeypatch.setattr("realwaste.web.predictor.decode_image", wait_if_slow)
    return state


def test_photos_of_a_disconnected_client_are_not_decoded(classifier, slow_decoding):
    slow_decoding.slow = _encode_jpeg(1)
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + slow_decoding.slow + b"\r\n"
    form = 4 * part + b"--x--\r\n"
    with _serve(classifier, ConnectionLimits(max_requests=2)) as server_address, ExitStack() as queued:
        with _connect(
            server_address, _post_head(len(form), "Content-Type: multipart/form-data; boundary=x\r\n") + form
        ):
            assert slow_decoding.started.wait(20)
            queued.enter_context(_connect(server_address, _post_head(len(slow_decoding.slow)) + slow_decoding.slow))
            _wait_until(lambda: request_json("http://{}:{}/health/ready".format(*server_address))[0] == 503)
        queued.close()
        _wait_until(lambda: request_json("http://{}:{}/health/ready".format(*server_address))[0] == 200)
        slow_decoding.go_on.set()
        with _connect(server_address, _post_head(len(_encode_jpeg(2))) + _encode_jpeg(2)) as connection:
            assert connection.recv(65536)[9:12] == b"200"
    assert slow_decoding.count == 2, "only the photo that was already being decoded, and the last one"


def _wait_until(condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("the condition did not become true in time")


def test_other_photos_do_not_wait_for_a_large_one(classifier, slow_decoding):
    slow_decoding.slow = _encode_jpeg(1)

    async def predict_both(predictor):
        large_photo = asyncio.create_task(
            predictor.classify(io.BytesIO(slow_decoding.slow), 100_000_000, PredictionSettings())
        )
        assert await asyncio.to_thread(slow_decoding.started.wait, 20)
        await asyncio.wait_for(predictor.classify(io.BytesIO(_encode_jpeg(2)), 4800, PredictionSettings()), 20)
        assert not large_photo.done()
        slow_decoding.go_on.set()
        await asyncio.wait_for(large_photo, 20)

    predictor = _build_predictor(classifier)
    asyncio.run(predict_both(predictor))
    predictor.close()


def test_the_pixels_of_one_request_are_limited(classifier):
    upload_limits = UploadLimits(pixels=3 * 60 * 80 - 1)
    with TestClient(_build_app(classifier, upload_limits=upload_limits, max_requests=1)) as client:
        truncated = _encode_jpeg(2)[:-20]  # counts like a complete one
        body = client.post(
            "/predict", files=[("file", ("a", data)) for data in (_encode_jpeg(1), truncated, _encode_jpeg(3))]
        ).json()
    errors = [record["error"] for record in body["answers"]]
    assert errors[0] is None
    assert "truncated JPEG" in errors[1]
    assert errors[2] == "The photos of one request may have at most 0.014399 million pixels together."


def test_an_early_photo_waits_for_the_model_without_a_timeout(classifier):
    """The photo is larger than what the server reads ahead, so the server is the one that waits."""
    start_up_app, data = StartUpApp(max_requests=2), bytes(250_000)
    limits = ConnectionLimits(timeout=0.3, busy_timeout=0.3, min_bytes_per_second=1e7, max_requests=2)
    with (
        serving(start_up_app, limits) as server_address,
        _connect(server_address, _post_head(len(data)) + data) as connection,
    ):
        time.sleep(1)
        start_up_app.app = _build_app(classifier, max_requests=2)
        assert connection.recv(65536)[9:12] == b"422"


_CHUNKED_HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def server_address(classifier):
    with _serve(classifier, ConnectionLimits()) as server_address:
        yield server_address


@pytest.mark.parametrize(("size", "status"), [(1, b"400"), (100, b"200"), (10_000, b"200")])
def test_chunks_of_single_bytes_are_refused(size, status, server_address):
    data = _encode_jpeg(1, 300, 400)
    assert len(data) > 10_000
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with _connect(server_address, _CHUNKED_HEAD + b"\r\n") as connection:
        try:
            connection.sendall(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
            received = connection.recv(65536)
        except OSError:
            received = b"HTTP/1.1 400 was sent, but this side was still sending"
    assert received[9:12] == status


def test_a_body_with_two_lengths_is_refused_and_the_connection_closed(server_address):
    body = b"3\r\nabc\r\n0\r\n\r\n"
    with _connect(
        server_address, _CHUNKED_HEAD + b"Content-Length: 3\r\n\r\n" + body + b"GET /health HTTP/1.1\r\n\r\n"
    ) as connection:
        received = _receive_all(connection)
    assert received[9:12] == b"400"
    assert received.count(b"HTTP/1.1") == 1


def test_the_number_of_pixels_is_read_from_the_header():
    for kind in ("jpg", "png", "webp", "tiff", "bmp", "avif"):
        data = cv2.imencode(f".{kind}", np.zeros((80, 60, 3), np.uint8))[1].tobytes()
        assert declared_pixel_count(data) == 4800, kind
    assert declared_pixel_count(b"") == declared_pixel_count(b"words") == declared_pixel_count(b"\xff\xd8\xff") == 0
