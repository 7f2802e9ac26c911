"""`realwaste serve`: the endpoints, requests that are refused, slow clients, and the page in a browser."""

import asyncio
import base64
import io
import json
import re
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace

import cv2
import jsonschema
import keras
import numpy as np
import pytest
from browser import chromium, needs_browser, opened
from colours import read_rows
from conftest import picture
from fastapi.testclient import TestClient
from images.test_hostile_images import _decompression_bomb
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from typer.testing import CliRunner
from web_server import command_serving, request_json, send_request, serving

from realwaste import __main__ as command
from realwaste.core.errors import UserError
from realwaste.evaluation import overlays
from realwaste.evaluation.grad_cam import GradCam
from realwaste.images.reader import decode_image, resize_image
from realwaste.models import cnn, image_predictions, model_file, novelty, session
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.web import address
from realwaste.web.app import build
from realwaste.web.connection import ConnectionLimits
from realwaste.web.predict_route import UploadLimits
from realwaste.web.predictor import PredictionSettings, Predictor
from realwaste.web.request_limits import RequestGuard
from realwaste.web.server import StartUpApp

CLASSES = ("Glass", "Metal & Tin", "Ünrat")
LIMIT = 300_000
REQUESTS = 32
UPLOAD_LIMITS = UploadLimits(LIMIT, files=4, total_bytes=3 * LIMIT)


@pytest.fixture(scope="module")
def classifier():
    metadata = ModelMetadata("cnn", CLASSES, 32, "synthetic", cnn.BACKBONE, cnn.WEIGHTS, origin="synthetic")
    keras.utils.set_random_seed(1)
    return Classifier(cnn.build(32, len(CLASSES), batch_norm_momentum=0.9), metadata)


def _build_predictor(classifier):
    return Predictor(session.from_classifier(classifier, batch_size=1), lambda: classifier)


def _build_app(classifier, **options):
    """The application; by default with UPLOAD_LIMITS, REQUESTS, and for any host."""
    defaults = {"upload_limits": UPLOAD_LIMITS, "allowed_hosts": None, "max_requests": REQUESTS}
    return build(_build_predictor(classifier), **(defaults | options))


@pytest.fixture(scope="module")
def client(classifier):
    with TestClient(_build_app(classifier, allowed_hosts=["testserver"])) as client:
        yield client


@pytest.fixture(scope="module")
def server(classifier, tmp_path_factory):
    """The URL of the command, which runs in a process with an access log and is ended by SIGINT."""
    folder = tmp_path_factory.mktemp("served")
    model_file.save(folder / "cnn.keras", replace(classifier, novelty=_fit_novelty(classifier, threshold=0.0)))
    arguments = ["serve", "--model", "cnn.keras", "--max-mb", str(LIMIT / 1e6), "--access-log"]
    with command_serving(folder, *arguments) as (process, url):
        assert "not photographs" in (folder / "log").read_text()
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert (folder / "log").read_text().rstrip().endswith("(Ctrl-C ends it)"), "nothing is logged after the address"
    lines = (folder / "out").read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(re.fullmatch(r"\S+Z 127\.0\.0\.1 (GET|POST) /\S* \d{3} \d+ \S+", line) for line in lines), lines


def _encode_jpeg(seed=0, height=60, width=80):
    return cv2.imencode(".jpg", picture(seed, height, width), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def _fit_novelty(classifier, threshold):
    """The novelty score of a model that was trained on one photo."""
    _, features = session.from_classifier(classifier)(resize_image(decode_image(_encode_jpeg(4)), 32)[np.newaxis])
    fitted = novelty.fit(features, features)
    assert fitted is not None
    return replace(fitted, threshold=threshold)


def _read_probabilities(prediction):
    by_name = {record["class"]: record["probability"] for record in prediction["predictions"]}
    return [by_name[name] for name in CLASSES]


def _compute_expected(classifier, data, tmp_path):
    (tmp_path / "photo").write_bytes(data)
    return session.from_classifier(classifier).predict_files([tmp_path / "photo"])[0][0]


def test_a_photo_is_predicted_as_raw_body_and_as_form(client, classifier, tmp_path):
    data = _encode_jpeg()
    expected = _compute_expected(classifier, data, tmp_path)
    requests = [
        {"content": data},
        {"content": data, "headers": {"content-type": "image/jpeg"}},
        {"content": data, "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"files": {"file": ('भ \n".jpg', data, "image/jpeg")}},
        {"files": {"photo": ("x", data)}, "data": {"more": "text"}},
    ]
    for request in requests:
        response = client.post("/predict", **request)
        assert response.status_code == 200
        body = response.json()
        record = {"answer", "not_sure", "predictions", "strangeness", "unlike"}
        assert set(body) == {"model", "caution", "strangeness_threshold"} | record
        assert body["strangeness_threshold"] is body["strangeness"] is body["unlike"] is None
        assert body["model"] == json.loads(json.dumps(asdict(classifier.metadata)))
        assert body["caution"] == classifier.metadata.caution()
        np.testing.assert_allclose(_read_probabilities(body), expected, atol=1e-6)
        probabilities = [record["probability"] for record in body["predictions"]]
        assert probabilities == sorted(probabilities, reverse=True)


def test_saliency_is_the_heat_map_of_the_best_or_the_requested_class(client, classifier):
    data = _encode_jpeg(3)
    pixels = resize_image(decode_image(data), 32)
    for query in ("", "&of=Glass", "&of=Metal%20%26%20Tin", "&of=%C3%9Cnrat"):
        body = client.post(f"/predict?saliency=true{query}", content=data).json()
        target_class = body["saliency_of"]
        assert target_class == ({"&of=Glass": "Glass", "": body["predictions"][0]["class"]}.get(query) or target_class)
        heat = GradCam(classifier.model).heat(pixels[np.newaxis], np.array([CLASSES.index(target_class)]))[0]
        if not heat.any():
            assert body["saliency"] is None
            continue
        media_type, _, content = body["saliency"].partition(",")
        assert media_type == "data:image/png;base64"
        heat_layer = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED)
        assert heat_layer is not None
        np.testing.assert_allclose(
            cv2.cvtColor(heat_layer, cv2.COLOR_BGRA2RGBA), overlays.heat_layer(heat, 32, 32), atol=1
        )


@pytest.mark.parametrize("query", ["", "?saliency=true"])
@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_unlike_is_true_above_the_novelty_threshold(threshold, query, classifier):
    data = _encode_jpeg(3)
    fitted = _fit_novelty(classifier, threshold)
    score = fitted.scores(session.from_classifier(classifier)(resize_image(decode_image(data), 32)[np.newaxis])[1])[0]
    assert 0 < score < 2
    app = _build_app(replace(classifier, novelty=fitted), allowed_hosts=["testserver"])
    with TestClient(app) as client:
        body = client.post(f"/predict{query}", content=data).json()
        assert client.get("/model").json()["strangeness_threshold"] == body["strangeness_threshold"] == threshold
    assert body["strangeness"] == pytest.approx(score, abs=1e-5)
    assert body["unlike"] is (threshold == 0)


def test_below_min_confidence_the_answer_is_not_sure(client):
    confident = client.post("/predict", content=_encode_jpeg(3)).json()
    probability = confident["predictions"][0]["probability"]
    assert (confident["answer"], confident["not_sure"]) == (confident["predictions"][0]["class"], False)
    for min_confidence, expected_answer in ((probability, confident["answer"]), (probability + 1e-6, "not sure")):
        body = client.post(f"/predict?min_confidence={min_confidence}", content=_encode_jpeg(3)).json()
        assert (body["answer"], body["not_sure"]) == (expected_answer, expected_answer == "not sure")
        assert body["predictions"] == confident["predictions"]
    assert client.post("/predict?min_confidence=80", content=_encode_jpeg(3)).status_code == 422


def test_without_support_for_a_class_there_is_no_heat_map(classifier):
    model = cnn.build(32, 3, batch_norm_momentum=0.9)
    model.layers[-1].set_weights([np.zeros_like(weight) for weight in model.layers[-1].get_weights()])
    predictor = _build_predictor(Classifier(model, classifier.metadata))
    settings = PredictionSettings(saliency=True, target_class="Glass")
    _, heat = asyncio.run(predictor.classify(io.BytesIO(_encode_jpeg()), 4800, settings))
    predictor.close()
    assert heat == {"saliency_of": "Glass", "saliency": None}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<svg/>", "not an image"),
        (_encode_jpeg()[:-50], "truncated JPEG"),
        (b"\x00" * 99, "not an"),
    ],
)
def test_unreadable_photos_are_refused_with_the_reason(content, reason, client):
    response = client.post("/predict?saliency=true", content=content)
    assert response.status_code == 422
    assert response.json()["error"].startswith(f"This photo cannot be read: {reason}")
    form = client.post("/predict", files={"file": ("a.jpg", content)})
    assert form.json() == response.json()


def test_every_error_is_json_with_a_message(client):
    data = _encode_jpeg()
    form = {"content-type": "multipart/form-data"}
    responses = [
        client.get("/nowhere"),
        client.get("/docs"),
        client.get("/predict"),
        client.post("/predict/", content=data),  # not redirected: behind a proxy, the redirect would lead to http://
        client.post("/predict?saliency=perhaps", content=data),
        client.post("/predict?of=Gold", content=data),
        client.post("/predict", content=data, headers=form),
        client.post("/predict", content=data, headers={"content-type": "multipart/form-data; boundary=x"}),
        client.post("/predict", files={"a": ("", b"")}, data={"b": "c"}),
        client.post("/predict", files=[("a", ("a", data))] * (UPLOAD_LIMITS.files + 1)),
    ]
    assert [response.status_code for response in responses] == [404, 404, 405, 404, 422, 422, 400, 400, 422, 400]
    for response in responses:
        assert set(response.json()) == {"error"}
        assert response.json()["error"]
    assert responses[-1].json() == {"error": "Too many files. Maximum number of files is 4."}


def _build_nan_classifier(classifier):
    model = cnn.build(32, 3, batch_norm_momentum=0.9)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    return Classifier(model, classifier.metadata)


def test_predictions_of_nan_are_an_error(classifier):
    with TestClient(_build_app(_build_nan_classifier(classifier))) as client:
        response = client.post("/predict", content=_encode_jpeg())
    assert response.status_code == 500
    assert "diverged" in response.json()["error"]


def test_photos_and_forms_above_the_size_limit_are_refused(client):
    def yield_pieces(count):
        for _ in range(count // 1000):
            yield bytes(1000)

    assert client.post("/predict", content=bytes(LIMIT)).status_code == 422
    assert client.post("/predict", content=yield_pieces(LIMIT)).status_code == 422
    for request in (
        {"content": bytes(LIMIT + 1)},
        {"content": yield_pieces(LIMIT + 1000)},
        {"files": {"file": ("a.jpg", bytes(LIMIT + 1))}},
    ):
        response = client.post("/predict", **request)
        assert response.status_code == 413
        assert response.json() == {"error": "A photo may have at most 0.3 MB."}
    assert client.post("/predict", files={"file": ("a.jpg", bytes(LIMIT))}).status_code == 422
    for request in (
        {"files": [("file", ("a.jpg", bytes(LIMIT)))] * 3},
        {"content": yield_pieces(3 * LIMIT + 1000), "headers": {"content-type": "multipart/form-data; boundary=x"}},
    ):
        response = client.post("/predict", **request)
        assert response.status_code == 413
        assert response.json() == {"error": "The photos of one request may have at most 0.9 MB together."}


def test_several_files_are_predicted_in_order_with_an_error_each(client, classifier, tmp_path):
    photos = [_encode_jpeg(1), b"words", _encode_jpeg(2), bytes(LIMIT + 1)]
    names = ["one.jpg", "notes.txt", "one.jpg", "große.jpg"]
    files = [("file" if n % 2 else f"photo{n}", (names[n], photos[n])) for n in range(4)]
    response = client.post("/predict", files=files)
    assert response.status_code == 200
    assert set(response.json()) == {"model", "caution", "strangeness_threshold", "answers"}
    records = response.json()["answers"]
    assert [record["file"] for record in records] == names
    for position in (0, 2):
        assert records[position]["error"] is None
        np.testing.assert_allclose(
            _read_probabilities(records[position]), _compute_expected(classifier, photos[position], tmp_path), atol=1e-6
        )
        assert "saliency" not in records[position]
    assert records[1]["error"].startswith("This photo cannot be read: not an image")
    assert records[3]["error"] == "A photo may have at most 0.3 MB."
    assert records[1]["predictions"] == records[3]["predictions"] == []
    with_saliency = client.post("/predict?saliency=true&of=Glass", files=files[:3]).json()["answers"]
    assert [record.get("saliency_of") for record in with_saliency] == ["Glass", None, "Glass"]


def test_a_client_that_accepts_csv_gets_the_columns_of_predict(client, tmp_path):
    data, accept = _encode_jpeg(1), {"accept": "text/csv"}
    best_prediction = client.post("/predict", content=data).json()["predictions"][0]
    files = [("file", (name, content)) for name, content in (("=1.jpg", data), ("notes.txt", b"words"))]
    response = client.post("/predict?min_confidence=1", files=files, headers=accept)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    (tmp_path / "a.csv").write_bytes(response.content)
    photo, notes = read_rows(tmp_path / "a.csv")
    assert list(photo) == image_predictions.csv_header(3)
    assert (photo["path"], photo["class"], photo["most_likely"]) == ("./=1.jpg", "not sure", best_prediction["class"])
    assert float(photo["probability"]) == pytest.approx(best_prediction["probability"], rel=1e-5)
    assert (notes["class"], notes["error"]) == ("", "This photo cannot be read: not an image.")
    response = client.post("/predict?saliency=true", content=data, headers=accept)
    assert response.text.splitlines()[1].startswith(f"-,{best_prediction['class']},{best_prediction['class']},")
    assert client.post("/predict", content=b"words", headers=accept).json()["error"].startswith("This photo cannot")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("application/json; q=0.5, text/csv", "text/csv; charset=utf-8"),
        ("text/*, */*;q=0.1", "text/csv; charset=utf-8"),
        ("text/csv;q=x", "application/json"),
    ],
)
def test_csv_is_sent_only_if_it_is_preferred_to_json(accept, media_type, client):
    assert (
        client.post("/predict", content=_encode_jpeg(), headers={"accept": accept}).headers["content-type"]
        == media_type
    )


def test_responses_have_the_schema_of_openapi(classifier):
    with TestClient(_build_app(replace(classifier, novelty=_fit_novelty(classifier, 0.0)), max_requests=1)) as client:
        openapi = client.get("/openapi.json").json()
        files = [("file", ("1.jpg", _encode_jpeg(4))), ("file", ("notes.txt", b"words"))]
        responses = [
            ("/predict", "post", client.post("/predict", content=_encode_jpeg(4))),
            ("/predict", "post", client.post("/predict?saliency=true", content=_encode_jpeg(4))),
            ("/predict", "post", client.post("/predict", files=files)),
            *((path, "get", client.get(path)) for path in ("/health", "/health/ready", "/model")),
            ("/predict", "post", client.post("/predict", content=bytes(LIMIT + 1))),
        ]
    assert {path for path, *_ in responses} == set(openapi["paths"])
    for path, method, response in responses:
        documented = openapi["paths"][path][method]["responses"][str(response.status_code)]
        schema = documented["content"]["application/json"]["schema"] | {"components": openapi["components"]}
        jsonschema.validate(response.json(), schema)
    predict = openapi["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"application/octet-stream", "multipart/form-data"}
    assert set(predict["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    assert set(predict["responses"]) == {"200", "400", "413", "422", "503"}


def test_the_access_log_contains_no_queries_or_file_names(classifier, monkeypatch):
    lines: list[str] = []
    app = _build_app(classifier, allowed_hosts=["testserver"], max_requests=2, write_access_log=lines.append)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.get("/health")
        client.post("/predict?of=geheim", content=_encode_jpeg())
        client.post("/predict?token=geheim", files={"file": ("geheim.jpg", _encode_jpeg())})
        client.head("/", headers={"cookie": "geheim"})
        client.get("/photos/geheim.jpg%0A2026-01-01")
        client.get("/model", headers={"host": "geheim.example"})
        client.request("GEHEIM", "/")
        monkeypatch.setattr(Predictor, "classify", lambda *_, **__: 1 / 0)
        client.post("/predict", content=_encode_jpeg())
    assert "geheim" not in "".join(lines).casefold()
    matches = [re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ testclient (.*) \d+ \d+\.\d{3}", line) for line in lines]
    assert [match and match[1] for match in matches] == [
        "GET /health 200",
        "POST /predict 422",
        "POST /predict 200",
        "HEAD / 200",
        "GET - 404",
        "GET /model 400",
        "- / 405",
        "POST /predict 500",
    ]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"9999999999")]])
def test_an_endless_upload_is_not_stored_and_not_read_to_its_end(headers):
    bytes_offered, messages, sent = 0, [], []

    async def receive():
        nonlocal bytes_offered
        bytes_offered += 10
        return {"type": "http.request", "body": bytes(10), "more_body": True}

    async def send(message):
        sent.append(message)

    async def collecting_app(_scope, receive, _send):
        while True:
            messages.append(await receive())

    scope = {"type": "http", "method": "POST", "headers": [(b"host", b"h"), *headers]}
    guard = RequestGuard(collecting_app, max_body_bytes=100, allowed_hosts=None, max_requests=1)
    if headers:
        asyncio.run(guard(scope, receive, send))
        assert sent[0]["status"] == 413
    else:
        with pytest.raises(HTTPException, match="413"):
            asyncio.run(guard(scope, receive, send))
    assert len(messages) <= 10
    assert bytes_offered <= 1000


def test_requests_from_pages_of_other_sites_are_refused(client):
    data = _encode_jpeg()
    for origin, status in {
        "http://testserver": 200,
        "http://testserver:81": 403,
        "http://evil.example": 403,
        "http://testserver.evil.example": 403,
        "null": 403,
        "": 403,
    }.items():
        assert client.post("/predict", content=data, headers={"origin": origin}).status_code == status, origin
    for host, status in {
        "testserver": 200,
        "testserver:8000": 200,
        "TESTSERVER": 200,
        "evil.example": 400,
        "": 400,
        "[": 400,
    }.items():
        assert client.get("/model", headers={"host": host}).status_code == status, host
    preflight = client.options("/predict", headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in preflight.headers


def test_responses_have_security_headers_and_model_metadata(client, classifier):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/health").json() == {"status": "ok", "model": "cnn", "ready": True}
    assert client.get("/health/ready").json() == client.get("/health").json()
    assert client.get("/model").json() == {
        "model": json.loads(json.dumps(asdict(classifier.metadata))),
        "caution": classifier.metadata.caution(),
        "strangeness_threshold": None,
        "limit": LIMIT,
        "files": 4,
        "total": 3 * LIMIT,
    }


def test_during_loading_the_server_is_alive_but_not_ready(classifier):
    start_up_app = StartUpApp(max_requests=1)
    with serving(start_up_app, SHORT_LIMITS) as server_address, ThreadPoolExecutor(1) as pool:
        host, port = server_address

        def get(path):
            return request_json(f"http://{host}:{port}{path}")

        assert get("/health") == (200, {"status": "ok", "model": None, "ready": False})
        assert get("/health/ready") == (503, {"error": "The model is being loaded; try again."})
        waiting_request = pool.submit(get, "/model")
        time.sleep(0.2)
        assert get("/model")[0] == 503, "only one request may wait"
        assert not waiting_request.done()
        start_up_app.app = _build_app(classifier, allowed_hosts=["127.0.0.1"], max_requests=2)
        assert waiting_request.result(10)[0] == 200
        assert get("/health/ready") == (200, {"status": "ok", "model": "cnn", "ready": True})


def test_sockets_are_bound_and_have_allowed_hosts():
    with address.bind_socket("127.0.0.1", 0) as listener:
        assert address.allowed_hosts(listener, "127.0.0.1") == ("localhost", "127.0.0.1", "::1", "127.0.0.1")
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=f"its port {port} free"):
            address.bind_socket("127.0.0.1", port)
        result = CliRunner().invoke(command.app, ["serve", "--port", str(port)])
        assert result.exit_code == 1
        assert "Choose another with --host or --port" in result.stderr
    with address.bind_socket("0.0.0.0", 0) as all_interfaces:  # noqa: S104 - this address is under test
        assert address.allowed_hosts(all_interfaces, "0.0.0.0") is None  # noqa: S104
        allowed_hosts = address.allowed_hosts(all_interfaces, "0.0.0.0", ["Waste.example"])  # noqa: S104
        assert allowed_hosts is not None
        assert {"waste.example", "127.0.0.1"} <= set(allowed_hosts)
    if socket.has_dualstack_ipv6():
        with address.bind_socket("::", 0) as all_interfaces:
            for host in ("127.0.0.1", "::1"):
                socket.create_connection((host, all_interfaces.getsockname()[1]), timeout=10).close()
        with address.bind_socket("::1", 0) as loopback, pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", loopback.getsockname()[1]), timeout=10)
    for invalid_host in ("192.0.2.1", "no such name"):
        with pytest.raises(UserError, match="must be an address of this machine"):
            address.bind_socket(invalid_host, 0)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = CliRunner().invoke(command.app, ["serve"])
    assert result.exit_code == 1
    assert "not installed: fastapi." in result.stderr
    assert "`make setup-dev`, or pip install '.[serve]'" in result.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.keras", "There must be a model at no.keras"),
        ("folder.keras", "A model must be a regular file, and folder.keras is a folder, a pipe or a device."),
        ("nan.keras", "must output finite numbers"),
    ],
)
def test_an_unusable_model_is_refused(name, message, classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.keras").mkdir()
    model_file.save(tmp_path / "nan.keras", _build_nan_classifier(classifier))
    result = CliRunner().invoke(command.app, ["serve", "--port", "0", "--model", name])
    assert result.exit_code == 1
    assert message in result.stderr


def test_concurrent_requests_get_their_own_predictions(server, classifier, tmp_path):
    photos = [_encode_jpeg(seed) for seed in range(16)]
    (tmp_path / "all").mkdir()
    expected = [_compute_expected(classifier, photo, tmp_path) for photo in photos]
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda photo: request_json(f"{server}predict?saliency=true", photo), photos))
    assert [status for status, _ in responses] == [200] * 16
    for (_, body), probabilities in zip(responses, expected, strict=True):
        np.testing.assert_allclose(_read_probabilities(body), probabilities, atol=1e-6)


def test_the_process_refuses_large_uploads_and_decompression_bombs(server):
    """An upload of five times the limit, from a client that reads only after sending; and a small bomb."""
    assert request_json(f"{server}predict", bytes(5 * LIMIT)) == (413, {"error": "A photo may have at most 0.3 MB."})
    bomb = _decompression_bomb(15_000)
    assert len(bomb) < LIMIT
    too_many_pixels = {"error": "This photo cannot be read: more than 200,000,000 pixels."}
    assert request_json(f"{server}predict", bomb) == (422, too_many_pixels)
    assert request_json(f"{server}predict", _encode_jpeg())[0] == 200


SHORT_LIMITS = ConnectionLimits(
    max_connections=20, timeout=0.5, busy_timeout=0.5, min_bytes_per_second=1e5, max_requests=3
)


@pytest.fixture(scope="module")
def short_limits_server(classifier):
    with _serve(classifier, SHORT_LIMITS) as server_address:
        yield server_address


@contextmanager
def _serve(classifier, limits):
    """The application in a thread of this process; yields host and port."""
    app = _build_app(classifier, allowed_hosts=["127.0.0.1"], max_requests=limits.max_requests)
    with serving(app, limits) as server_address:
        yield server_address


def _connect(server_address, data=b""):
    connection = socket.create_connection(server_address, timeout=10)
    connection.sendall(data)
    return connection


def _post_head(length, extra=""):
    return f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{extra}\r\n".encode()


def _wait_until_closed(connection, trickle=b""):
    """The seconds until the server closes, and what it sent; meanwhile `trickle` is sent every 0.05 seconds."""
    started, received = time.monotonic(), b""
    connection.settimeout(0.05)
    while time.monotonic() < started + 8:
        try:
            data = connection.recv(65536)
            if not data:
                return time.monotonic() - started, received
            received += data
        except TimeoutError:
            with suppress(OSError):
                connection.sendall(trickle)
        except OSError:
            return time.monotonic() - started, received
    pytest.fail("the server has not closed the connection")


@pytest.mark.parametrize(
    ("start", "trickle", "status"),
    [
        (b"", b"", b""),
        (b"", b"G", b"408"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", b"x", b"408"),
        (_post_head(1000), b"", b"408"),
        (_post_head(1000), b"x", b"408"),
        (_post_head(1000, "Content-Type: multipart/form-data; boundary=x\r\n") + b"--x\r\n", b"x", b"408"),
        (_post_head(LIMIT + 1), b"x", b"408"),
        (b"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999\r\n\r\n", b"x", b"404"),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"", b"200"),
    ],
)
def test_slow_clients_are_disconnected(start, trickle, status, short_limits_server):
    with _connect(short_limits_server, start) as connection:
        seconds, received = _wait_until_closed(connection, trickle)
    assert seconds < 3
    assert received[9:12] == status
    if status == b"408":
        assert json.loads(received.partition(b"\r\n\r\n")[2]) == {"error": "This request was not complete in time."}


def test_an_upload_with_progress_gets_more_time(short_limits_server):
    with _connect(short_limits_server, _post_head(130_000)) as connection:
        for _ in range(13):  # 0.9 s in total; without progress, the limit is 0.5 s
            time.sleep(0.07)
            connection.sendall(bytes(10_000))
        assert connection.recv(65536)[9:12] == b"422"


@pytest.mark.parametrize("start", [b"", b"GET / HT"], ids=["silent", "headers"])
def test_silent_connections_make_room_for_new_ones(start, classifier):
    """Forty connections at a limit of 32, with a timeout of a minute: the oldest ones are closed."""
    limits = ConnectionLimits(max_connections=32, timeout=60)
    with _serve(classifier, limits) as (host, port), ExitStack() as connections:
        silent_connections = [connections.enter_context(_connect((host, port), start)) for _ in range(40)]
        assert request_json(f"http://{host}:{port}/predict", _encode_jpeg())[0] == 200
        closed = [_is_closed(connection) for connection in silent_connections]
        assert closed == [True] * 9 + [False] * 31, "eight were closed for other connections, one for the photo"


def test_stalled_uploads_make_room_for_others(classifier):
    """Forty uploads at a limit of eight requests: with that many, the short `busy_timeout` applies."""
    limits = ConnectionLimits(timeout=60, busy_timeout=1, min_bytes_per_second=1e4, max_requests=8)
    with _serve(classifier, limits) as (host, port), ExitStack() as connections:
        progressing_upload = connections.enter_context(_connect((host, port), _post_head(200_000)))
        stalled_uploads = [connections.enter_context(_connect((host, port), _post_head(1000))) for _ in range(40)]
        for _ in range(20):  # an upload that progresses for two seconds
            progressing_upload.sendall(bytes(10_000))
            time.sleep(0.1)
        assert request_json(f"http://{host}:{port}/predict", _encode_jpeg())[0] == 200
        assert progressing_upload.recv(65536)[9:12] == b"422", "an upload with progress is not aborted"
        statuses = []
        for connection in stalled_uploads:
            connection.setblocking(False)
            with suppress(BlockingIOError):
                statuses.append(connection.recv(65536)[9:12])
        assert 36 < len(statuses) == statuses.count(b"408") < 40, (
            "uploads are aborted until half of the requests are free"
        )


def _is_closed(connection):
    connection.settimeout(0.02)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_silent_connections_are_closed_before_uploads(classifier):
    limits = ConnectionLimits(max_connections=4, timeout=60)
    data = _encode_jpeg()
    with _serve(classifier, limits) as server_address, ExitStack() as connections:
        upload = connections.enter_context(_connect(server_address, _post_head(len(data), "Expect: 100-continue\r\n")))
        assert upload.recv(65536).startswith(b"HTTP/1.1 100"), "the server has read the headers"
        upload.sendall(data[:10])
        for _ in range(8):
            connections.enter_context(_connect(server_address))
        time.sleep(0.2)
        upload.sendall(data[10:])
        assert upload.recv(65536)[9:12] == b"200"


def test_a_client_that_reads_no_response_is_disconnected(short_limits_server):
    request = b"GET /app.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with _connect(short_limits_server) as connection:
        connection.setblocking(False)
        started = time.monotonic()
        with suppress(BlockingIOError):
            while time.monotonic() < started + 5:
                connection.send(request)
        time.sleep(2)
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.setblocking(True)
            for _ in range(100_000):
                connection.send(request)


def test_photos_above_the_request_limit_get_503_with_retry_after(short_limits_server):
    url = "http://{}:{}".format(*short_limits_server)
    with ExitStack() as connections:
        for _ in range(SHORT_LIMITS.max_requests):
            connections.enter_context(_connect(short_limits_server, _post_head(1000)))
        time.sleep(0.1)
        response = send_request("POST", f"{url}/predict", _encode_jpeg())
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        status, body = request_json(f"{url}/health")
        assert (status, body["ready"]) == (200, False)
        assert request_json(f"{url}/health/ready")[0] == 503
    time.sleep(0.1)
    assert request_json(f"{url}/health/ready")[0] == 200
    assert request_json(f"{url}/predict", _encode_jpeg())[0] == 200


MALFORMED_REQUESTS = [
    b"\x16\x03\x01\x02\x00\x01",  # TLS
    b"\r\n" * 50,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: b\r\n\r\n",
    b"GET \xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000,
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    _post_head(-1),
    _post_head("x"),
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    _post_head(1000) + b"half",
    _post_head(10, "Content-Type: multipart/form-data; boundary=x\r\n") + b"--x\r\n",
    _post_head(10, "Expect: 100-continue\r\n"),
]


def test_malformed_requests_and_disconnects_are_not_logged(short_limits_server, capfd, caplog):
    for data in MALFORMED_REQUESTS:
        for ending in (b"", b"zz\r\n\r\n"):
            with _connect(short_limits_server, data) as connection:
                connection.settimeout(0.1)
                with suppress(OSError):
                    received = connection.recv(65536)
                    assert (received[9:12] != b"400") or (b"application/json" in received)
                    connection.sendall(ending)
                    connection.recv(65536)
    host, port = short_limits_server
    assert request_json(f"http://{host}:{port}/predict", _encode_jpeg())[0] == 200
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_head_is_like_get_without_a_body(short_limits_server):
    host, port = short_limits_server
    for path in ("/", "/health", "/model", "/openapi.json", "/app.js"):
        response = send_request("HEAD", f"http://{host}:{port}{path}")
        assert (response.status, response.data) == (200, b"")
        assert int(response.headers["content-length"]) > 0
    assert send_request("HEAD", f"http://{host}:{port}/predict").status == 405


@contextmanager
def _open_page(url, *, may_refuse=False, **options):
    """Open the page, wait for the classes, and check at the end that nothing failed.

    Args:
        may_refuse: whether the server may refuse photos, which the browser logs itself.
    """
    with chromium() as browser, opened(browser, url, **options) as tab:
        tab.page.wait_for_selector("#classes li")
        yield tab.page
        assert [problem for problem in tab.problems if not (may_refuse and "422" in problem)] == []


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, True)])
def test_the_page_predicts_a_photo_and_shows_heat_maps(width, dark, server, classifier, tmp_path):
    photo = tmp_path / "a photo <b>.jpg"
    photo.write_bytes(_encode_jpeg(5, 300, 200))
    best = CLASSES[int(_compute_expected(classifier, photo.read_bytes(), tmp_path).argmax())]
    with _open_page(server, width=width, dark=dark) as page:
        assert "not photographs" in page.inner_text("#caution")
        assert page.locator("#classes .name").all_inner_texts() == list(CLASSES)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", background)[0]) < 60) == dark

        assert page.is_hidden("#unlike")
        page.set_input_files("#file", photo)
        page.wait_for_selector("#tools", state="visible")
        assert page.inner_text("#best-class") == best
        assert novelty.UNLIKE in page.inner_text("#unlike")
        assert page.inner_text("#best-share").endswith(" %")
        names = page.locator("#classes .name").all_inner_texts()
        assert names[0] == best
        assert sorted(names) == sorted(CLASSES)
        assert page.get_attribute("#photo", "alt") == "Your photo: a photo <b>.jpg"
        for name in reversed(names):
            with page.expect_response("**/predict?**") if name != best else nullcontext():
                page.locator("#classes button", has_text=name).click()
            page.wait_for_function("of => document.getElementById('looked-for').textContent.includes(of)", arg=name)
            assert page.locator("#classes [aria-pressed=true] .name").all_inner_texts() == [name]
            if "nowhere" in page.inner_text("#looked-for"):
                assert page.is_hidden("#heat")
                continue
            heat_box, photo_box = page.locator("#heat").bounding_box(), page.locator("#photo").bounding_box()
            assert heat_box == pytest.approx(photo_box, abs=1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_browser
def test_the_page_works_under_a_path_prefix(classifier, tmp_path):
    """As behind a proxy that passes on /waste/."""
    (tmp_path / "a.jpg").write_bytes(_encode_jpeg(1))
    app = Mount("/waste", _build_app(classifier, max_requests=8))
    with serving(app, ConnectionLimits()) as (host, port), _open_page(f"http://{host}:{port}/waste/") as page:
        page.set_input_files("#file", tmp_path / "a.jpg")
        page.wait_for_selector("#tools", state="visible")
        assert page.locator("header img").evaluate("one => one.naturalWidth") > 0
        assert page.text_content("#curl") == f"curl -F file=@photo.jpg 'http://{host}:{port}/waste/predict'"


SEND_PHOTO_SCRIPT = """([kind, data]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(data)], "sent.jpg", { type: "image/jpeg" }));
    const options = { bubbles: true, cancelable: true };
    document.body.dispatchEvent(kind === "paste"
        ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
        : new DragEvent("drop", { ...options, dataTransfer: transfer }));
}"""


def _check_heat_map_controls(page):
    page.wait_for_selector("#heat", state="visible")
    assert float(page.evaluate("getComputedStyle(document.getElementById('heat')).opacity")) > 0.2
    page.focus("#strength")
    page.keyboard.press("Home")
    page.wait_for_function("() => getComputedStyle(document.getElementById('heat')).opacity == 0.1")
    page.focus("#show")
    page.keyboard.press("Space")
    assert page.is_hidden("#heat")


@needs_browser
def test_photos_are_added_by_keyboard_paste_and_drop(server, tmp_path):
    """Also: the heat map is shown, hidden and fainter; files are refused; browsers cannot show a TIFF."""
    (tmp_path / "a.jpg").write_bytes(_encode_jpeg(1))
    (tmp_path / "words.jpg").write_text("words")
    (tmp_path / "large.png").write_bytes(bytes(LIMIT + 1))
    cv2.imwrite(str(tmp_path / "b.tiff"), picture(2))
    with chromium() as browser, opened(browser, server) as tab:
        page = tab.page
        page.wait_for_selector("#classes li")
        # File choosers stay closed from now on, because expect_file_chooser may start listening after the key.
        page.on("filechooser", lambda _: None)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(tmp_path / "a.jpg")
        page.wait_for_selector("#tools", state="visible")
        assert page.evaluate("document.activeElement.id") == "again"
        _check_heat_map_controls(page)
        for kind in ("paste", "drop"):
            with page.expect_file_chooser():
                page.click("#again")
            assert page.is_visible("#drop")
            page.evaluate(SEND_PHOTO_SCRIPT, [kind, list(_encode_jpeg(4))])
            page.wait_for_selector("#tools", state="visible")
        assert tab.problems == []

        page.click("#again")
        page.set_input_files("#file", tmp_path / "large.png")
        assert "up to 0.3 MB are taken" in page.inner_text("#failure")
        page.set_input_files("#file", tmp_path / "words.jpg")
        page.wait_for_function("() => document.getElementById('failure').textContent.includes('not an image')")
        assert page.is_visible("#drop")
        assert page.is_hidden("#tools")
        page.set_input_files("#file", tmp_path / "b.tiff")
        page.wait_for_selector("#tools", state="visible")
        assert page.is_visible("#unshown")
        assert page.is_hidden("#failure")
        # The browser logs the refused request itself.
        assert [problem for problem in tab.problems if "422" not in problem] == []


@pytest.fixture
def photo_list_files(tmp_path, classifier):
    """Five files, one of them no image and one too large; and the best class of each photo, by name."""
    photos = {f"{number} photo.jpg": _encode_jpeg(number, 200, 150 + 90 * number) for number in (0, 1, 4)}
    best_classes = {
        name: CLASSES[int(_compute_expected(classifier, data, tmp_path).argmax())] for name, data in photos.items()
    }
    (tmp_path / "all").mkdir()
    for name, data in {**photos, "2 words.jpg": b"words", "3 large.png": bytes(LIMIT + 1)}.items():
        (tmp_path / "all" / name).write_bytes(data)
    return sorted((tmp_path / "all").iterdir()), best_classes


PROGRESS_SCRIPT = "document.getElementById('progress').textContent"


@needs_browser
def test_several_photos_are_predicted_one_by_one_in_a_list(server, photo_list_files):
    files, best = photo_list_files
    with _open_page(server, may_refuse=True) as page:
        assert page.is_hidden("#photos")
        in_progress: list[int] = []
        page.on("request", lambda request: in_progress.append(1) if "/predict" in request.url else None)
        page.on("response", lambda response: in_progress.append(-1) if "/predict" in response.url else None)
        page.set_input_files("#file", files)
        page.wait_for_function(f"() => {PROGRESS_SCRIPT} === '3 of 5 answered, 2 refused'")
        page.wait_for_function("() => document.querySelectorAll('#list canvas.drawn').length === 3")
        assert in_progress == [1, -1] * 4, "photos are sent one at a time, the large one is not sent"
        names = page.locator("#list .name").all_inner_texts()
        assert names == [file.name for file in files]
        status_texts = dict(zip(names, page.locator("#list .status").all_inner_texts(), strict=True))
        assert all(status_texts[name].startswith(f"{best[name]}, ") for name in best)
        assert "not an image" in status_texts["2 words.jpg"]
        assert "up to 0.3 MB are taken" in status_texts["3 large.png"]
        assert page.inner_text("#best-class") == best["0 photo.jpg"], "the first photo is shown"
        assert page.inner_text("#announcement") == "3 of 5 answered, 2 refused"
        assert page.is_hidden("#failure")
        assert page.locator("#list .unsure").count() == 0
        page.fill("#threshold", "95")
        assert page.inner_text("#threshold-value") == "95 %"
        unsure = page.locator("#list .unsure").all_inner_texts()
        assert [text.split(",")[0] for text in unsure] == [f"not sure: {name}" for name in best.values()]
        assert page.inner_text("#best-class") == f"Not sure: {best['0 photo.jpg']}?"
        with page.expect_download() as download:
            page.click("#csv")
        rows = read_rows(download.value.path())
        assert [row["path"] for row in rows] == names
        assert {row["path"]: row["most_likely"] for row in rows if row["class"] == "not sure"} == best
        assert "not an image" in rows[2]["error"]


DROP_FILES_SCRIPT = """files => {
    const transfer = new DataTransfer();
    for (const [name, data] of files) transfer.items.add(new File([Uint8Array.from(data)], name));
    document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }));
}"""


@needs_browser
def test_the_photo_list_is_operated_by_keyboard_and_photos_are_added(server, photo_list_files):
    files, best = photo_list_files
    with _open_page(server, may_refuse=True, width=390) as page:
        page.on("filechooser", lambda _: None)
        page.focus("#file")
        page.set_input_files("#file", files)
        page.wait_for_function(f"() => {PROGRESS_SCRIPT} === '3 of 5 answered, 2 refused'")
        for key, name in (
            ("", "0 photo.jpg"),
            ("ArrowDown", "1 photo.jpg"),
            ("Tab", "2 words.jpg"),
            ("End", "4 photo.jpg"),
        ):
            if key:
                page.keyboard.press(key)
                page.keyboard.press("Enter")
            assert page.locator("#list [aria-current=true] .name").all_inner_texts() == [name]
            assert page.get_attribute("#photo", "alt") == f"Your photo: {name}"
            assert page.inner_text("#best-class") == best.get(name, "No answer")
            assert page.is_visible("#failure") == (name not in best)
        other = next(name for name in CLASSES if name != best["4 photo.jpg"])
        page.locator("#classes button", has_text=other).click()
        page.wait_for_function("of => document.getElementById('looked-for').textContent.includes(of)", arg=other)

        with page.expect_file_chooser():
            page.click("#more")
        page.evaluate(DROP_FILES_SCRIPT, [["late.jpg", list(_encode_jpeg(9))]])
        page.wait_for_function(f"() => {PROGRESS_SCRIPT} === '4 of 6 answered, 2 refused'")
        assert page.locator("#list [aria-current=true] .name").all_inner_texts() == ["late.jpg"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click("#again")
        assert page.is_hidden("#photos")
        assert page.is_visible("#drop")
