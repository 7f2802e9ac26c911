"""`realwaste review`: the queue, how answers are written and undone, refused requests, and the page in a browser."""

import json
import multiprocessing
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from browser import chromium, needs_browser, opened
from fastapi.testclient import TestClient
from starlette.routing import Mount
from typer.testing import CliRunner
from web_server import command_serving, request_json, serving

from realwaste import __main__ as command
from realwaste.core.errors import UserError
from realwaste.core.files import read_csv, write_csv, write_json
from realwaste.dataset import label_corrections, manifest
from realwaste.dataset.label_corrections import DROP, FILE, KEEP, Decision
from realwaste.web import review_labels as queues
from realwaste.web.connection import ConnectionLimits
from realwaste.web.review_app import build
from realwaste.web.review_labels import DecisionLog

SUSPECT_PATHS = ["glass/glass_2.jpg", "paper/paper_1.jpg", "glass/glass_4.jpg"]


@pytest.fixture
def checkout(images, tmp_path, monkeypatch):
    """The working directory: six photographs of each of three classes, three of which are suspects of two models."""
    images(inside="checkout/data/raw", glass=6, metal=6, paper=6)
    monkeypatch.chdir(tmp_path / "checkout")
    shutil.copy("data/raw/glass/glass_2.jpg", "data/raw/glass/twin.jpg")
    accepted = manifest.scan(queues.RAW).manifest
    write_csv(queues.MANIFEST, accepted)
    other_paths = [path for path in accepted["path"] if path not in SUSPECT_PATHS]
    table = pd.DataFrame({"path": [*SUSPECT_PATHS, *other_paths]}).merge(accepted[["path", "label"]])
    table = table.assign(suggested=table["label"].map({"glass": "metal", "metal": "glass", "paper": "metal"}))
    table = table.assign(label_probability=0.1, suggested_probability=0.85)
    write_csv(queues.SUSPECTS, table.assign(models_disagreeing=[2, 2, 1] + [0] * len(other_paths)))
    write_json(queues.METRICS, {"models": 2})
    return tmp_path / "checkout"


def _build_app(count=None, allowed_hosts=("testserver",)):
    queue = queues.load(count)
    return build(queue, DecisionLog(queue.manifest, queues.RAW), allowed_hosts=allowed_hosts, max_requests=8)


@pytest.fixture
def client(checkout):
    with TestClient(_build_app()) as client:
        yield client


def _read_decisions():
    return {path: decision.answer or decision.label for path, decision in label_corrections.load().items()}


def test_suspects_come_with_their_neighbours_in_capture_order(client):
    body = client.get("/queue").json()
    assert body["classes"] == ["glass", "metal", "paper"]
    assert (body["models"], body["decided"], body["can_undo"]) == (2, {}, False)
    assert [case["path"] for case in body["cases"]] == SUSPECT_PATHS
    first, second, _ = body["cases"]
    assert (first["label"], first["suggested"], first["suggested_probability"]) == ("glass", "metal", 0.85)
    assert [(case["path"], case["away"]) for case in first["around"]] == [
        (f"glass/glass_{number}.jpg", number - 2) for number in (1, 2, 3, 4)
    ]
    assert [case["away"] for case in second["around"]] == [0, 1, 2]


def test_a_file_name_without_a_number_has_no_neighbours(checkout):
    cases = queues.load(19).records()
    assert {case["path"]: case["around"] for case in cases}["glass/twin.jpg"] == []


def _decode(data):
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.astype(int)


def test_a_photo_is_served_in_full_size_or_smaller(client):
    row = client.get("/queue").json()["cases"][0]["row"]
    response = client.get(f"/photo/{row}")
    assert response.headers["content-type"] == "image/jpeg"
    original = _decode(Path("data/raw/glass/glass_2.jpg").read_bytes())
    pixels = _decode(response.content)
    np.testing.assert_allclose(pixels, original, atol=30)
    assert np.abs(pixels - original).mean() < 3
    assert _decode(client.get(f"/photo/{row}?side=16").content).shape == (16, 16, 3)
    for invalid_url, status in {
        "/photo/99": 404,
        "/photo/-1": 404,
        "/photo/x": 422,
        f"/photo/{row}?side=9999": 422,
    }.items():
        assert client.get(invalid_url).status_code == status
    Path("data/raw/glass/glass_2.jpg").unlink()
    missing = client.get(f"/photo/{row}")
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": "data/raw/glass/glass_2.jpg cannot be shown: No such file or directory."},
    )


def test_answers_are_written_with_the_hash_and_undone(client):
    bytes_before = {path: path.read_bytes() for path in queues.RAW.rglob("*.jpg")}
    body = client.post("/answer", json={"path": "paper/paper_1.jpg", "label": "paper"}).json()
    assert body == {"paths": ["paper/paper_1.jpg"], "decided": {"paper/paper_1.jpg": "paper"}, "can_undo": True}
    client.post("/answer", json={"path": "glass/glass_4.jpg", "label": None})
    body = client.post("/answer", json={"path": "glass/glass_2.jpg", "label": "metal"}).json()
    assert body["paths"] == ["glass/glass_2.jpg", "glass/twin.jpg"], "identical files have the same class"
    expected = {
        "glass/glass_2.jpg": "metal",
        "glass/glass_4.jpg": DROP,
        "glass/twin.jpg": "metal",
        "paper/paper_1.jpg": KEEP,
    }
    assert _read_decisions() == expected
    hashes = pd.read_csv(queues.MANIFEST).set_index("path")["sha256"]
    assert all(decision.sha256 == hashes[path] for path, decision in label_corrections.load().items())

    client.post("/answer", json={"path": "glass/glass_4.jpg", "label": "glass"})
    assert _read_decisions() == expected | {"glass/glass_4.jpg": KEEP}
    assert client.post("/undo", json={}).json()["paths"] == ["glass/glass_4.jpg"]
    assert _read_decisions() == expected
    assert client.post("/undo", json={}).json()["paths"] == ["glass/glass_2.jpg", "glass/twin.jpg"]
    client.post("/undo", json={})
    assert client.post("/undo", json={}).json() == {"paths": ["paper/paper_1.jpg"], "decided": {}, "can_undo": False}
    assert client.post("/undo", json={}).json()["paths"] == []
    assert _read_decisions() == {}
    assert {path: path.read_bytes() for path in bytes_before} == bytes_before


def test_lines_that_others_write_meanwhile_are_preserved(client):
    client.post("/answer", json={"path": "paper/paper_1.jpg", "label": None})
    written_by_hand = {"elsewhere/1.jpg": Decision("0" * 64, DROP), "glass/glass_4.jpg": Decision("0" * 64, DROP)}
    label_corrections.save(label_corrections.load() | written_by_hand)
    body = client.get("/queue").json()
    assert body["decided"] == {"paper/paper_1.jpg": None}, "a decision about other bytes is not an answer"
    client.post("/undo", json={})
    assert label_corrections.load() == written_by_hand


def test_invalid_answers_are_refused_with_a_message(client, caplog):
    Path("data/raw/glass/glass_4.jpg").write_bytes(b"other")
    answers = [
        ({"path": "glass/glass_2.jpg", "label": "gold"}, 422, "label must be one of glass, metal, paper"),
        ({"path": "glass/glass_2.jpg"}, 422, "label: Field required"),
        ({"path": "glass/glass_2.jpg", "label": 1}, 422, "label: Input should be a valid string"),
        ({"path": "glass/../../x.jpg", "label": "glass"}, 404, "There is no photo"),
        ({"path": "glass/glass_4.jpg", "label": "glass"}, 409, "must be the file that the pipeline has read"),
    ]
    for answer, status, message in answers:
        response = client.post("/answer", json=answer)
        assert response.status_code == status
        assert message in response.json()["error"]
    assert not FILE.exists()
    FILE.write_text("words")
    response = client.post("/answer", json={"path": "glass/glass_2.jpg", "label": "glass"})
    assert response.status_code == 409
    assert "relabel.yaml must hold a line for each photograph" in response.json()["error"]
    assert FILE.read_text() == "words"


def test_an_answer_that_cannot_be_written_is_reported(client, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(label_corrections, "write_text", fail)
    response = client.post("/answer", json={"path": "glass/glass_2.jpg", "label": "metal"})
    assert response.status_code == 500
    assert response.json() == {"error": "The answer could not be written: No space left on device."}
    assert client.get("/queue").json()["can_undo"] is False


def test_answers_from_pages_of_other_sites_are_refused(client):
    answer = {"path": "glass/glass_2.jpg", "label": "metal"}
    body = json.dumps(answer)
    as_json = {"content-type": "application/json"}
    refused = [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
        (as_json | {"origin": "http://evil.example"}, 403),
        (as_json | {"host": "evil.example"}, 400),
    ]
    for headers, status in refused:
        for path in ("/answer", "/undo"):
            assert client.post(path, content=body, headers=headers).status_code == status, headers
    for path in ("/answer", "/undo"):
        assert client.get(path).status_code == 405
    assert not FILE.exists()
    large = client.post("/answer", content=b" " * 200_000, headers=as_json)
    assert (large.status_code, large.json()) == (413, {"error": "The body of a request may have at most 0.1 MB."})
    same_origin = client.post("/answer", content=body, headers=as_json | {"origin": "http://testserver"})
    assert same_origin.status_code == 200


def test_missing_results_are_reported(checkout):
    write_csv(queues.SUSPECTS, pd.read_csv(queues.SUSPECTS).assign(models_disagreeing=0))
    with pytest.raises(UserError, match=r"no model doubts any of the 19 in data/suspects\.csv\.\nUse --count N"):
        queues.load()
    assert len(queues.load(2).suspects) == 2
    queues.METRICS.unlink()
    refused = CliRunner().invoke(command.app, ["review", "--port", "0"])
    assert refused.exit_code == 1
    message = " ".join(refused.stderr.split())
    assert "metrics/suspects.json must exist" in message
    assert "Run `dvc repro suspects`." in message


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_command_serves_until_it_is_interrupted(checkout, signal_number):
    with command_serving(checkout, "review") as (process, url):
        assert len(request_json(f"{url}queue")[1]["cases"]) == 3
        process.send_signal(signal_number)
        assert process.wait(20) == 0
    (line,) = (checkout / "log").read_text().splitlines()
    assert f"3 labels to decide, 0 of them decided: {url}" in line


def _answer_every_fourth(first, barrier):
    photographs = read_csv(queues.MANIFEST)
    decision_log = DecisionLog(photographs, queues.RAW)
    barrier.wait(120)
    for path in photographs["path"][first::4]:
        decision_log.add_answer(path, None)


def test_concurrent_sessions_lose_no_answers(checkout, images):
    """Two sessions in other processes, and two in threads of this one."""
    shutil.rmtree("data/raw")
    images(inside="checkout/data/raw", glass=20, metal=20, paper=20)
    accepted = manifest.scan(queues.RAW).manifest
    write_csv(queues.MANIFEST, accepted)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_answer_every_fourth, args=(first, barrier)) for first in (0, 1)]
    threads = [threading.Thread(target=_answer_every_fourth, args=(first, barrier)) for first in (2, 3)]
    sessions: list[Any] = [*processes, *threads]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert set(accepted["path"]) - set(label_corrections.load()) == set(), "no answer is lost"
    assert not list(Path().glob(".tmp-*"))


def test_undo_preserves_answers_of_another_session(checkout):
    first, second = (DecisionLog(manifest.scan(queues.RAW).manifest, queues.RAW) for _ in range(2))
    first.add_answer("paper/paper_1.jpg", "metal")
    first.add_answer("glass/glass_4.jpg", "metal")
    second.add_answer("glass/glass_4.jpg", None)
    second.add_answer("glass/glass_5.jpg", None)
    with pytest.raises(UserError, match=r"glass_4\.jpg was changed elsewhere since"):
        first.undo()
    assert _read_decisions() == {"glass/glass_4.jpg": DROP, "glass/glass_5.jpg": DROP, "paper/paper_1.jpg": "metal"}
    assert first.undo() == ["paper/paper_1.jpg"]
    assert first.undo() == []
    assert second.undo() == ["glass/glass_5.jpg"]
    assert second.undo() == ["glass/glass_4.jpg"]
    assert _read_decisions() == {"glass/glass_4.jpg": "metal"}


def test_a_window_undoes_only_its_own_answers(client):
    client.post("/answer", json={"path": "paper/paper_1.jpg", "label": "metal", "window": "a"})
    client.post("/answer", json={"path": "glass/glass_4.jpg", "label": None, "window": "b"})
    assert client.get("/queue?window=c").json()["can_undo"] is False
    assert client.get("/queue?window=a").json()["can_undo"] is True
    body = client.post("/undo", json={"window": "a"}).json()
    assert (body["paths"], body["can_undo"]) == (["paper/paper_1.jpg"], False)
    assert _read_decisions() == {"glass/glass_4.jpg": DROP}
    assert client.post("/undo", json={"window": "a"}).json()["paths"] == []
    assert (
        client.post("/answer", json={"path": "glass/glass_4.jpg", "label": None, "window": "x" * 65}).status_code == 422
    )


@contextmanager
def _serve(prefix=""):
    with serving(Mount(prefix, _build_app(allowed_hosts=["127.0.0.1"])), ConnectionLimits()) as (host, port):
        yield f"http://{host}:{port}{prefix}/"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def _wait_for_place(page, place):
    page.wait_for_function("place => document.getElementById('place').textContent.startsWith(place)", arg=place)


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, True)])
def test_the_page_is_operated_by_keyboard(width, dark, checkout, browser):
    with _serve() as url, opened(browser, url, width=width, dark=dark) as tab:
        page = tab.page
        _wait_for_place(page, "1 of 3")
        assert page.inner_text("#path") == "glass/glass_2.jpg"
        assert page.inner_text("#title") == "Is this glass?"
        assert page.inner_text("#count") == "0 of 3 decided"
        assert "2 of 2 models" in page.inner_text("#doubt")
        assert page.locator("#probabilities dt").all_inner_texts() == ["metal", "glass (its label)"]
        assert page.locator("#probabilities dd").all_inner_texts() == ["85 %", "10 %"]
        assert page.locator(".around .away").all_inner_texts() == ["1 before", "this one", "1 after", "2 after"]
        page.wait_for_function("() => [...document.images].every(one => one.complete && one.naturalWidth)")
        assert page.locator("#photo").evaluate("one => one.clientHeight") > 200
        assert page.evaluate("document.documentElement.scrollWidth") <= width

        page.keyboard.press("s")
        _wait_for_place(page, "2 of 3")
        page.keyboard.press("d")
        _wait_for_place(page, "3 of 3")
        assert page.locator(".around .differs").all_inner_texts() == ["metal"], "the new label is shown at once"
        page.keyboard.press("u")
        _wait_for_place(page, "2 of 3")
        assert _read_decisions() == {"glass/glass_2.jpg": "metal", "glass/twin.jpg": "metal"}
        page.keyboard.press("ArrowLeft")
        _wait_for_place(page, "1 of 3: relabelled as metal")
        assert page.get_attribute("#suggested", "aria-pressed") == "true"
        page.keyboard.press("k")
        _wait_for_place(page, "2 of 3")
        page.keyboard.press("Control+d")
        page.keyboard.press("3")
        _wait_for_place(page, "3 of 3")
        page.keyboard.press("1")
        page.wait_for_selector("#done", state="visible")
        assert page.inner_text("#sum") == "Kept: 3. Relabelled: 0. Dropped: 0."
        assert page.inner_text("#count") == "3 of 3 decided"
        assert set(_read_decisions().values()) == {KEEP}
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.problems == []


@needs_browser
def test_the_page_is_operated_by_mouse_and_resumes_after_reopening(checkout, browser):
    with _serve("/labels") as url:
        with opened(browser, url) as tab:
            page = tab.page
            page.wait_for_selector("#case", state="visible")
            page.wait_for_function("() => [...document.images].every(one => one.complete && one.naturalWidth)")
            page.click("#drop")
            page.wait_for_function("() => document.getElementById('path').textContent === 'paper/paper_1.jpg'")
            page.click("#others button >> text=glass")
            page.wait_for_function("() => document.getElementById('path').textContent === 'glass/glass_4.jpg'")
            assert tab.problems == []
        dropped = {"glass/glass_2.jpg": DROP, "glass/twin.jpg": DROP}
        assert _read_decisions() == dropped | {"paper/paper_1.jpg": "glass"}
        with opened(browser, url) as tab:
            page = tab.page
            page.wait_for_selector("#case", state="visible")
            assert page.inner_text("#place") == "3 of 3", "the page starts at the first undecided photo"
            Path("data/raw/glass/glass_4.jpg").unlink()
            page.click("#keep")
            page.wait_for_selector("#failure", state="visible")
            assert "must be the file that the pipeline has read" in page.inner_text("#failure")
            assert page.inner_text("#count") == "2 of 3 decided"
