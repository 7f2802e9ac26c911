"""The download cache of all experiments: a file is fetched once, checked before use, and fetched again if damaged."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import servers as play
from servers import PlayServer

import realwaste
from realwaste.core.errors import UnreachableError, UserError
from realwaste.core.files import cache_folder
from realwaste.sources import download, download_cache

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FETCH_SCRIPT = """
import sys
from realwaste.core import log
from realwaste.sources.download_cache import fetch_cached
log.setup()
sys.stdout.write(fetch_cached(sys.argv[1], check=lambda path: None).sha256)
"""


def check_is_long(path):
    """A check of the content, as the reader of a file makes it."""
    if path.stat().st_size < 2:
        raise UserError(f"{path} must be long.", "Get it again.")


fetch_cached = partial(download_cache.fetch_cached, check=check_is_long)


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch):
    for name, value in {"STALL_TIMEOUT_S": 1, "ATTEMPTS": 2, "BACKOFF_S": 0.01}.items():
        monkeypatch.setattr(download, name, value)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def server():
    with PlayServer() as server:
        server.serve("a/data.zip", CONTENT)
        yield server


@pytest.fixture
def url(server):
    return server.url("a/data.zip")


@pytest.fixture
def start_fetch(tmp_path):
    """Start a process that fetches a URL and writes its log to a file; it ends with the test."""
    with ExitStack() as stack:

        def start(url, log="log"):
            stderr = stack.enter_context((tmp_path / log).open("w"))
            environment = os.environ | {"PYTHONPATH": str(Path(realwaste.__file__).parents[1])}
            command = [sys.executable, "-c", FETCH_SCRIPT, url]
            process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=stderr)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def list_files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)


def test_the_cache_folder_is_that_of_the_user_or_realwaste_cache(monkeypatch, folder):
    assert cache_folder() == folder
    monkeypatch.delenv("REALWASTE_CACHE")
    assert cache_folder().is_absolute()
    assert cache_folder().name == "realwaste"


def test_a_file_is_fetched_once_and_then_read_without_a_network(server, url, folder):
    first = fetch_cached(url)
    server.stop()
    with pytest.raises(UnreachableError):
        fetch_cached(server.url("other.zip"))
    assert first == fetch_cached(url)
    assert server.count("a/data.zip") == 1
    assert (first.sha256, first.path.name, first.path.read_bytes()) == (SHA256, "data.zip", CONTENT)
    assert list_files(first.path.parent) == [".lock", ".sha256", "data.zip"]


def test_urls_with_the_same_file_name_have_separate_files(server, url):
    other = server.serve("b/data.zip", b"other")
    assert fetch_cached(url).path != fetch_cached(other).path
    assert fetch_cached(other).path.read_bytes() == b"other"


@pytest.mark.parametrize("name", ["", "a/..%2f..", "Ü" * 250, "Abfälle & 'Müll'.zip", ".lock"])
def test_any_url_is_saved_inside_the_folder(server, folder, name):
    cached = fetch_cached(server.serve(name, b"xx") + "?q=../..")
    assert cached.path.parent.parent == folder
    assert cached.path.read_bytes() == b"xx"
    assert not cached.path.name.startswith(".")


DAMAGES = {
    "content": lambda cached, hash_file: cached.path.write_bytes(CONTENT[:-1] + b"?"),
    "no hash file": lambda cached, hash_file: hash_file.unlink(),
    "invalid hash file": lambda cached, hash_file: hash_file.write_bytes(b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_fetched_again(server, url, damage):
    cached = fetch_cached(url)
    damage(cached, cached.path.with_name(".sha256"))
    cached.path.with_name("tmpabc").write_bytes(CONTENT)  # as a killed process leaves it
    assert fetch_cached(url) == cached
    assert list_files(cached.path.parent) == [".lock", ".sha256", "data.zip"]
    assert cached.path.read_bytes() == CONTENT
    assert server.count("a/data.zip") == 2


def test_a_truncated_file_is_removed_and_fetched_again(server, url, folder):
    server.script("a/data.zip", play.no_length(1))  # truncated without a Content-Length, so HTTP cannot detect it
    with pytest.raises(UserError, match=f"{folder}.*data.zip must be long"):
        fetch_cached(url)
    assert list_files(folder) == [".lock"]
    assert fetch_cached(url).path.read_bytes() == CONTENT
    assert server.count("a/data.zip") == 2


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_is_fetched_again_if_its_digest_changes(server, url, algorithm):
    server.serve("a/data.zip", b"old")
    old = fetch_cached(url)
    digest = f"{algorithm}:{hashlib.new(algorithm, b'new', usedforsecurity=False).hexdigest().upper()}"
    with pytest.raises(UserError, match="must have the checksum"):
        fetch_cached(url, digest=digest)
    assert server.count("a/data.zip") == 2
    assert fetch_cached(url) == old  # a wrong digest does not remove a valid file
    server.serve("a/data.zip", b"new")
    assert fetch_cached(url, digest=digest).path.read_bytes() == b"new"
    fetch_cached(url, digest=digest)
    assert server.count("a/data.zip") == 3


def test_a_file_with_a_wrong_digest_is_named_and_not_fetched_twice(server, url, folder):
    server.always("a/data.zip", play.no_length(100))
    with pytest.raises(UserError, match=f"must have the checksum sha256:{SHA256}.*Received: 'sha256:"):
        fetch_cached(url, digest=f"sha256:{SHA256}")
    assert server.count("a/data.zip") == 1
    assert list_files(folder) == [".lock"]  # else the next run would resume the wrong file


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "http:// or https://"),
        ("ftp://h/x", "http:// or https://"),
        ("http:///x", "http:// or https://"),
        ("http://[::1", "well-formed"),
        ("http://h:99999/x", "well-formed"),
    ],
)
def test_urls_without_http_or_https_or_a_host_are_refused(url, message, folder):
    with pytest.raises(UserError, match=message):
        fetch_cached(url)
    assert not folder.exists()


def test_an_unusable_cache_folder_is_refused(folder, url):
    folder.write_text("a file in the way")
    with pytest.raises(UserError, match="REALWASTE_CACHE"):
        fetch_cached(url)


def test_secrets_in_a_url_are_not_stored_or_printed(server, folder, capfd, caplog):
    url = server.url("a/data.zip").replace("//", "//me:geheim@") + "?token=geheim"
    fetch_cached(url)
    fetch_cached(url)
    assert not [path for path in folder.rglob("*") if "geheim" in path.name]
    assert not [path for path in folder.rglob(".*") if path.is_file() and "geheim" in path.read_text()]
    assert "geheim" not in caplog.text + "".join(capfd.readouterr())


def test_two_processes_fetch_a_file_once(server, url, tmp_path, start_fetch):
    second_process_waits = threading.Event()
    server.script("a/data.zip", play.hold(1000, until=second_process_waits))
    processes = [start_fetch(url, log) for log in ("log1", "log2")]
    logs = [tmp_path / "log1", tmp_path / "log2"]
    wait_for(lambda: any("another process is fetching" in log.read_text() for log in logs))
    second_process_waits.set()
    assert [process.communicate(timeout=20)[0] for process in processes] == [SHA256] * 2
    assert server.ranges("a/data.zip") == [None]
    assert sum("another process is fetching" in log.read_text() for log in logs) == 1


@pytest.mark.parametrize("kill_after_s", [0, 0.2], ids=["next run", "waiting process"])
def test_a_killed_download_is_resumed(server, url, folder, start_fetch, kill_after_s):
    server.script("a/data.zip", play.trickle(20_000, 0.05))
    process = start_fetch(url)
    wait_for(lambda: any(part.stat().st_size >= 100_000 for part in folder.glob("*/.part")))
    killer = threading.Timer(kill_after_s, process.kill)
    killer.start()
    if not kill_after_s:
        process.communicate(timeout=10)
    try:
        assert fetch_cached(url).path.read_bytes() == CONTENT
    finally:
        killer.join()
    first, second = server.ranges("a/data.zip")
    assert first is None
    assert int(second.removeprefix("bytes=").removesuffix("-")) >= 100_000
    assert list_files(folder) == [".lock", ".sha256", "data.zip"]
