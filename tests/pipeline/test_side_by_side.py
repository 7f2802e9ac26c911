"""Experiments that run at the same time: each has its own checkout, and all share one download."""

import json
import shutil
import subprocess
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tiny_pipeline import BIN, commit, run

from benchmarks.parts.workspace import set_params

pytestmark = pytest.mark.slow


@pytest.fixture
def zip_url(images, tmp_path):
    """The URL of a zip of images on the loopback, and the list of requests for it."""
    shutil.make_archive(str(tmp_path / "served/set"), "zip", images(glass=12, metal=12, paper=12))
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            time.sleep(0.5)
            super().do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "served")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/set.zip", requests
        server.shutdown()


def _check_experiments_are_shown(root, names):
    experiments = json.loads(run(root, "dvc", "exp", "show", "--json").partition("\n")[0])
    assert all(name in json.dumps(experiments) for name in names)


def test_two_queued_experiments_share_one_download(clone, zip_url):
    url, requests = zip_url
    set_params(clone, fetch__source=url)
    commit(clone)
    for name, epochs in (("one", 1), ("two", 2)):
        run(clone, "dvc", "exp", "run", "--queue", "--name", name, "-S", f"train_cnn.epochs={epochs}")
    run(clone, "dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 280
    while "Running" in (status := run(clone, "dvc", "queue", "status")) or "Queued" in status:
        assert time.monotonic() < deadline, status
        time.sleep(2)
    assert status.count("Success") == 2, status
    assert len(requests) == 1, "the second experiment must wait for the download of the first"
    for name, epochs in (("one", 1), ("two", 2)):
        run(clone, "dvc", "exp", "apply", name)
        assert json.loads((clone / "metrics/train_cnn.json").read_text())["epochs"] == epochs
        assert list(clone.glob("data/.state/*/*")) == []


def test_two_temporary_experiments_at_once_share_one_download(clone, zip_url):
    url, requests = zip_url
    run(clone, "git", "checkout", "-q", "-f", "HEAD")
    command = [str(BIN / "dvc"), "exp", "run", "--temp"]
    processes = [
        subprocess.Popen(
            [*command, "--name", name, "-S", f"fetch.source={url}", "-S", f"base.seed={seed}"],
            cwd=clone,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, seed in (("three", 3), ("four", 4))
    ]
    for process in processes:
        output, _ = process.communicate(timeout=290)
        assert process.returncode == 0, output
    assert len(requests) == 1
    _check_experiments_are_shown(clone, ["three", "four"])
