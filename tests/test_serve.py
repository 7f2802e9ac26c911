"""`realwaste serve`: the endpoint, what it refuses, and the page in a real browser."""

import asyncio
import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict

import cv2
import keras
import numpy as np
import pytest
from browser import chromium, needs_browser, opened
from conftest import picture
from fastapi.testclient import TestClient
from import_walk import ROOT
from PIL import Image
from starlette.exceptions import HTTPException
from test_hostile_images import _bomb
from typer.testing import CliRunner

from realwaste import __main__ as command
from realwaste import cnn, model_file, overlays, predictions
from realwaste.errors import UserError
from realwaste.images import decode, resize
from realwaste.model_file import Classifier, Facts
from realwaste.saliency import GradCam
from realwaste.serve import address
from realwaste.serve.answerer import Answerer
from realwaste.serve.app import build
from realwaste.serve.guard import Guard

CLASSES = ("Glass", "Metal & Tin", "Ünrat")
LIMIT = 300_000


@pytest.fixture(scope="module")
def classifier():
    facts = Facts("cnn", CLASSES, 32, "synthetic", cnn.BACKBONE, cnn.WEIGHTS)
    keras.utils.set_random_seed(1)
    return Classifier(cnn.build(32, len(CLASSES), batch_norm_momentum=0.9), facts)


@pytest.fixture(scope="module")
def client(classifier):
    with TestClient(build(Answerer(classifier), limit=LIMIT, hosts=["testserver"])) as client:
        yield client


@pytest.fixture(scope="module")
def server(classifier, tmp_path_factory):
    """The command in a process of its own; gives its address, and ends it as Ctrl-C does."""
    folder = tmp_path_factory.mktemp("served")
    model_file.save(folder / "cnn.keras", classifier)
    arguments = ["serve", "--model", "cnn.keras", "--port", "0", "--max-mb", str(LIMIT / 1e6)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [sys.executable, "-m", "realwaste", *arguments], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said: list[str] = []
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", said[-1] if said else "")):
            assert process.poll() is None, said
            said.append(process.stderr.readline())
        assert "not photographs" in "".join(said)
        yield found.group()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(20) == 0
        assert rest == ""


def _jpeg(seed=0, height=60, width=80):
    return cv2.imencode(".jpg", picture(seed, height, width), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def _probabilities(told):
    by_name = {one["class"]: one["probability"] for one in told["predictions"]}
    return [by_name[name] for name in CLASSES]


def _expected(classifier, data, tmp_path):
    (tmp_path / "photo").write_bytes(data)
    return predictions.of_pictures(classifier.predictor, [tmp_path / "photo"], 1)[0]


def test_a_photo_is_answered_however_it_is_sent(client, classifier, tmp_path):
    data = _jpeg()
    expected = _expected(classifier, data, tmp_path)
    ways = [
        {"content": data},
        {"content": data, "headers": {"content-type": "image/jpeg"}},
        {"content": data, "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"files": {"file": ('भ \n".jpg', data, "image/jpeg")}},
        {"files": {"photo": ("x", data)}, "data": {"more": "text"}},
    ]
    for way in ways:
        response = client.post("/predict", **way)
        assert response.status_code == 200
        told = response.json()
        assert set(told) == {"model", "caution", "predictions"}
        assert told["model"] == json.loads(json.dumps(asdict(classifier.facts)))
        assert told["caution"] == classifier.facts.caution()
        np.testing.assert_allclose(_probabilities(told), expected, atol=1e-6)
        shares = [one["probability"] for one in told["predictions"]]
        assert shares == sorted(shares, reverse=True)


def test_saliency_is_the_heat_of_the_first_class_or_of_the_one_asked_for(client, classifier):
    data = _jpeg(3)
    pixels = resize(decode(data), 32)
    for query in ("", "&of=Glass", "&of=Metal%20%26%20Tin", "&of=%C3%9Cnrat"):
        told = client.post(f"/predict?saliency=true{query}", content=data).json()
        of = told["saliency_of"]
        assert of == ({"&of=Glass": "Glass", "": told["predictions"][0]["class"]}.get(query) or of)
        heat = GradCam(classifier.model).heat(pixels[np.newaxis], np.array([CLASSES.index(of)]))[0]
        if not heat.any():
            assert told["saliency"] is None
            continue
        kind, _, content = told["saliency"].partition(",")
        assert kind == "data:image/png;base64"
        layer = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED)
        assert layer is not None
        np.testing.assert_allclose(cv2.cvtColor(layer, cv2.COLOR_BGRA2RGBA), overlays.layer(heat, 32, 32), atol=1)


def test_where_nothing_speaks_for_a_class_there_is_no_heat(classifier):
    model = cnn.build(32, 3, batch_norm_momentum=0.9)
    model.layers[-1].set_weights([np.zeros_like(weight) for weight in model.layers[-1].get_weights()])
    answerer = Answerer(Classifier(model, classifier.facts))
    found = asyncio.run(answerer.answer(_jpeg(), saliency=True, of="Glass"))
    answerer.close()
    assert (found.saliency_of, found.saliency) == ("Glass", None)


def test_a_photo_is_turned_upright(client):
    upright = picture(7, 60, 90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    plain, turned, lying = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(upright).save(plain, "JPEG", quality=100, subsampling=0)
    Image.fromarray(np.rot90(upright).copy()).save(turned, "JPEG", quality=100, subsampling=0, exif=exif)
    Image.fromarray(np.rot90(upright).copy()).save(lying, "JPEG", quality=100, subsampling=0)
    first, second, third = (
        _probabilities(client.post("/predict", content=file.getvalue()).json()) for file in (plain, turned, lying)
    )
    assert np.abs(np.subtract(first, second)).max() < np.abs(np.subtract(first, third)).max() / 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty file"), (b"<svg/>", "not an image"), (_jpeg()[:-50], "truncated JPEG"), (b"\x00" * 99, "not an")],
)
def test_what_is_no_photo_is_refused_in_words(content, reason, client):
    response = client.post("/predict?saliency=true", content=content)
    assert response.status_code == 422
    assert response.json()["error"].startswith(f"This is no photo that can be read: {reason}")
    form = client.post("/predict", files={"file": ("a.jpg", content)})
    assert form.json() == response.json()


def test_every_error_is_told_alike(client):
    data = _jpeg()
    form = {"content-type": "multipart/form-data"}
    found = [
        client.get("/nowhere"),
        client.get("/docs"),
        client.get("/predict"),
        client.post("/predict?saliency=perhaps", content=data),
        client.post("/predict?of=Gold", content=data),
        client.post("/predict", content=data, headers=form),
        client.post("/predict", content=data, headers={"content-type": "multipart/form-data; boundary=x"}),
        client.post("/predict", files={"a": ("", b"")}, data={"b": "c"}),
        client.post("/predict", files={"a": ("a", data), "b": ("b", data)}),
    ]
    assert [response.status_code for response in found] == [404, 404, 405, 422, 422, 400, 400, 422, 400]
    for response in found:
        assert set(response.json()) == {"error"}
        assert response.json()["error"]


def test_an_answer_that_is_no_number_is_none(classifier):
    model = cnn.build(32, 3, batch_norm_momentum=0.9)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    with TestClient(build(Answerer(Classifier(model, classifier.facts)), limit=LIMIT, hosts=None)) as client:
        response = client.post("/predict", content=_jpeg())
    assert response.status_code == 500
    assert "diverged" in response.json()["error"]


def test_the_limit(client):
    def pieces(count):
        for _ in range(count // 1000):
            yield bytes(1000)

    assert client.post("/predict", content=bytes(LIMIT)).status_code == 422
    assert client.post("/predict", content=pieces(LIMIT)).status_code == 422
    for way in (
        {"content": bytes(LIMIT + 1)},
        {"content": pieces(LIMIT + 1000)},
        {"files": {"file": ("a.jpg", bytes(LIMIT))}},
        {"content": pieces(LIMIT + 1000), "headers": {"content-type": "multipart/form-data; boundary=x"}},
    ):
        response = client.post("/predict", **way)
        assert response.status_code == 413
        assert response.json() == {"error": "A photo may have 0.3 MB at most."}


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"9999999999")]])
def test_an_endless_upload_is_neither_kept_nor_read_to_its_end(headers):
    came, kept, sent = 0, [], []

    async def receive():
        nonlocal came
        came += 10
        return {"type": "http.request", "body": bytes(10), "more_body": True}

    async def send(message):
        sent.append(message)

    async def keeping(_scope, receive, _send):
        while True:
            kept.append(await receive())

    scope = {"type": "http", "method": "POST", "headers": [(b"host", b"h"), *headers]}
    guard = Guard(keeping, limit=100, hosts=None)
    if headers:
        asyncio.run(guard(scope, receive, send))
        assert sent[0]["status"] == 413
    else:
        with pytest.raises(HTTPException, match="413"):
            asyncio.run(guard(scope, receive, send))
    assert len(kept) <= 10
    assert came <= 1000


def test_pages_of_other_sites_may_not_ask(client):
    data = _jpeg()
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


def test_headers_facts_and_description(client, classifier):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/health").json() == {"status": "ok", "model": "cnn"}
    assert client.get("/model").json() == {
        "model": json.loads(json.dumps(asdict(classifier.facts))),
        "caution": classifier.facts.caution(),
        "limit": LIMIT,
    }
    described = client.get("/openapi.json").json()["paths"]
    assert set(described) == {"/predict", "/model", "/health"}
    assert set(described["/predict"]["post"]["requestBody"]["content"]) == {
        "application/octet-stream",
        "multipart/form-data",
    }


def test_addresses_and_the_names_they_go_by():
    with address.bound("127.0.0.1", 0) as taken:
        assert address.names(taken, "127.0.0.1") == ("localhost", "127.0.0.1", "::1", "127.0.0.1")
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"its port {port} free"):
            address.bound("127.0.0.1", port)
        refused = CliRunner().invoke(command.app, ["serve", "--port", str(port)])
        assert refused.exit_code == 1
        assert "Choose another by --host or --port" in refused.stderr
    with address.bound("0.0.0.0", 0) as everywhere:  # noqa: S104 - what is asked about it is the point
        assert address.names(everywhere, "0.0.0.0") is None  # noqa: S104
    for nowhere in ("192.0.2.1", "no such name"):
        with pytest.raises(UserError, match="must be an address of this machine"):
            address.bound(nowhere, 0)


def test_without_the_extra_one_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    refused = CliRunner().invoke(command.app, ["serve"])
    assert refused.exit_code == 1
    assert "not installed: fastapi." in refused.stderr
    assert "`make setup-dev`, or pip install '.[serve]'" in refused.stderr


def test_a_missing_model_is_said_before_the_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(command.app, ["serve", "--port", "0", "--model", "no.keras"])
    assert refused.exit_code == 1
    assert "There must be a model at no.keras" in refused.stderr


def _post(url, data, timeout=20):
    try:
        request = urllib.request.Request(url, data)  # noqa: S310 - of the server above
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_many_at_once_get_their_own_answers(server, classifier, tmp_path):
    photos = [_jpeg(seed) for seed in range(16)]
    (tmp_path / "all").mkdir()
    expected = [_expected(classifier, photo, tmp_path) for photo in photos]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda photo: _post(f"{server}predict?saliency=true", photo), photos))
    assert [status for status, _ in found] == [200] * 16
    for (_, told), row in zip(found, expected, strict=True):
        np.testing.assert_allclose(_probabilities(told), row, atol=1e-6)


def test_the_served_process_refuses_what_is_too_large_whatever_it_unpacks_to(server):
    """Five times the limit, by a client that listens only when all is sent; and a bomb, which is small."""
    assert _post(f"{server}predict", bytes(5 * LIMIT)) == (413, {"error": "A photo may have 0.3 MB at most."})
    bomb = _bomb(15_000)
    assert len(bomb) < LIMIT
    unpacked = {"error": "This is no photo that can be read: more than 200,000,000 pixels."}
    assert _post(f"{server}predict", bomb) == (422, unpacked)
    assert _post(f"{server}predict", _jpeg())[0] == 200


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page(width, dark, server, classifier, tmp_path):
    photo = tmp_path / "a photo <b>.jpg"
    photo.write_bytes(_jpeg(5, 300, 200))
    best = CLASSES[int(_expected(classifier, photo.read_bytes(), tmp_path).argmax())]
    with chromium() as browser, opened(browser, server, width=width, dark=dark) as shown:
        page = shown.page
        page.wait_for_selector("#classes li")
        assert "not photographs" in page.inner_text("#caution")
        assert page.locator("#classes .name").all_inner_texts() == list(CLASSES)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", background)[0]) < 60) == dark

        page.set_input_files("#file", photo)
        page.wait_for_selector("#tools", state="visible")
        assert page.inner_text("#best-class") == best
        assert page.inner_text("#best-share").endswith(" %")
        names = page.locator("#classes .name").all_inner_texts()
        assert names[0] == best
        assert sorted(names) == sorted(CLASSES)
        assert page.get_attribute("#photo", "alt") == "Your photo: a photo <b>.jpg"
        for of in reversed(names):
            with page.expect_response("**/predict?**") if of != best else nullcontext():
                page.locator("#classes button", has_text=of).click()
            page.wait_for_function("of => document.getElementById('looked-for').textContent.includes(of)", arg=of)
            assert page.locator("#classes [aria-pressed=true] .name").all_inner_texts() == [of]
            if "nowhere" in page.inner_text("#looked-for"):
                assert page.is_hidden("#heat")
                continue
            heat, below = page.locator("#heat").bounding_box(), page.locator("#photo").bounding_box()
            assert heat == pytest.approx(below, abs=1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.problems == []


@needs_browser
def test_the_page_s_other_ways(server, tmp_path):
    """By keyboard, paste and drop; heat on, off and fainter; what is refused; a kind that browsers cannot show."""
    (tmp_path / "a.jpg").write_bytes(_jpeg(1))
    (tmp_path / "words.jpg").write_text("words")
    (tmp_path / "large.png").write_bytes(bytes(LIMIT + 1))
    cv2.imwrite(str(tmp_path / "b.tiff"), picture(2))
    send = """([kind, data]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(data)], "sent.jpg", { type: "image/jpeg" }));
        const options = { bubbles: true, cancelable: true };
        document.body.dispatchEvent(kind === "paste"
            ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
            : new DragEvent("drop", { ...options, dataTransfer: transfer }));
    }"""
    with chromium() as browser, opened(browser, server) as shown:
        page = shown.page
        page.wait_for_selector("#classes li")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(tmp_path / "a.jpg")
        page.wait_for_selector("#tools", state="visible")
        assert page.evaluate("document.activeElement.id") == "again"

        page.wait_for_selector("#heat", state="visible")
        assert float(page.evaluate("getComputedStyle(document.getElementById('heat')).opacity")) > 0.2
        page.focus("#strength")
        page.keyboard.press("Home")
        page.wait_for_function("() => getComputedStyle(document.getElementById('heat')).opacity == 0.1")
        page.focus("#show")
        page.keyboard.press("Space")
        assert page.is_hidden("#heat")

        for kind in ("paste", "drop"):
            with page.expect_file_chooser():
                page.click("#again")
            assert page.is_visible("#drop")
            page.evaluate(send, [kind, list(_jpeg(4))])
            page.wait_for_selector("#tools", state="visible")
        assert shown.problems == []

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
        # The browser itself notes the refused request.
        assert [problem for problem in shown.problems if "422" not in problem] == []
