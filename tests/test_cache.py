"""The cache that experiments share: fetched once, checked before use, mended when damaged, resumed when killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import servers as play
from filelock import FileLock
from servers import PlayServer

import realwaste
from realwaste.cache import cache_dir, fetch_cached
from realwaste.download import Policy
from realwaste.errors import UnreachableError, UserError
from realwaste.log import logger

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Policy(stall_timeout_s=1, total_timeout_s=10, attempts=2, backoff_s=0.01)
FETCH = """
import sys
from realwaste import log
from realwaste.cache import fetch_cached
log.setup()
sys.stdout.write(fetch_cached(sys.argv[1]).sha256)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # no authorities: loading them takes longer than most tests here
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
    """Fetch in a process of its own, with its log in a file; none outlives the test."""
    with ExitStack() as stack:

        def start(url, log="log"):
            stderr = stack.enter_context((tmp_path / log).open("w"))
            environment = os.environ | {"PYTHONPATH": str(Path(realwaste.__file__).parents[1])}
            command = [sys.executable, "-c", FETCH, url]
            process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=stderr)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def hundred_kilobytes_came(folder):
    return any(part.stat().st_size >= 100_000 for part in folder.glob(".part-*.zip"))


def wait_for(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_the_folder_is_the_users_unless_named(monkeypatch, folder):
    assert cache_dir() == folder
    monkeypatch.delenv("REALWASTE_CACHE")
    assert cache_dir().is_absolute()
    assert cache_dir().name == "realwaste"


def test_fetched_once(server, url, folder):
    first = fetch_cached(url, policy=QUICK)
    assert first == fetch_cached(url, policy=QUICK)
    assert server.count("a/data.zip") == 1
    assert first.sha256 == SHA256
    assert first.path.read_bytes() == CONTENT
    assert first.path.name.endswith("-data.zip")
    note = json.loads((folder / f"{first.path.name}.json").read_text())
    assert (note["url"], note["sha256"], note["bytes"]) == (url, SHA256, len(CONTENT))
    assert note["fetched"].endswith("+00:00")


def test_a_cached_file_needs_no_network(server, url):
    cached = fetch_cached(url, policy=QUICK)
    server.stop()
    assert fetch_cached(url, policy=QUICK) == cached


def test_no_network_and_nothing_cached(server, url, folder):
    server.stop()
    with pytest.raises(UnreachableError):
        fetch_cached(url, policy=QUICK)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_addresses_that_end_alike_are_kept_apart(server, url):
    other = server.serve("b/data.zip", b"other")
    assert fetch_cached(url, policy=QUICK).path != fetch_cached(other, policy=QUICK).path
    assert fetch_cached(other, policy=QUICK).path.read_bytes() == b"other"


@pytest.mark.parametrize("name", ["", "a/..%2f..", "x" * 250, "Abfälle & 'Müll'.zip", ".hidden", "a/"])
def test_any_address_makes_a_file_inside_the_folder(server, folder, name):
    cached = fetch_cached(server.serve(name, b"x") + "?q=../..", policy=QUICK)
    assert cached.path.parent == folder
    assert len(cached.path.name) < 120


def spoil_content(cached, note):
    cached.path.write_bytes(CONTENT[:-1] + b"?")


def spoil_length(cached, note):
    cached.path.write_bytes(CONTENT[:-1])


def lose_content(cached, note):
    cached.path.unlink()


def lose_note(cached, note):
    note.unlink()


def spoil_note(cached, note):
    note.write_text('{"sha256": ')


def empty_note(cached, note):
    note.write_text("[]")


@pytest.mark.parametrize("spoil", [spoil_content, spoil_length, lose_content, lose_note, spoil_note, empty_note])
def test_a_damaged_entry_is_fetched_again(server, url, folder, spoil):
    cached = fetch_cached(url, policy=QUICK)
    spoil(cached, folder / f"{cached.path.name}.json")
    assert fetch_cached(url, policy=QUICK) == cached
    assert cached.path.read_bytes() == CONTENT
    assert server.count("a/data.zip") == 2


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_another_digest_means_one_more_fetch(server, url, algorithm):
    server.serve("a/data.zip", b"old")
    old = fetch_cached(url, policy=QUICK)
    digest = f"{algorithm}:{hashlib.new(algorithm, b'new', usedforsecurity=False).hexdigest()}"
    with pytest.raises(UserError, match="must have the checksum"):
        fetch_cached(url, digest=digest, policy=QUICK)
    assert server.count("a/data.zip") == 2
    assert old.path.read_bytes() == b"old"  # a mistyped digest costs nobody a good file
    server.serve("a/data.zip", b"new")
    assert fetch_cached(url, digest=digest, policy=QUICK).path.read_bytes() == b"new"
    fetch_cached(url, digest=digest, policy=QUICK)
    assert server.count("a/data.zip") == 3


def test_too_large_is_not_cached(url, folder):
    with pytest.raises(UserError, match="at most 10 bytes"):
        fetch_cached(url, max_bytes=10, policy=QUICK)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_wrong_arguments_leave_no_trace(folder):
    with pytest.raises(UserError, match="http"):
        fetch_cached("file:///etc/passwd")
    with pytest.raises(UserError, match="digest must be"):
        fetch_cached("http://127.0.0.1/x", digest="crc:1")
    assert not folder.exists()


def test_a_folder_that_cannot_be(folder, url):
    folder.write_text("a file in the way")
    with pytest.raises(UserError, match="REALWASTE_CACHE"):
        fetch_cached(url, policy=QUICK)


def test_the_password_of_an_address_is_not_kept(server, folder):
    url = server.url("a/data.zip").replace("//", "//me:geheim@") + "?token=geheim"
    fetch_cached(url, policy=QUICK)
    assert not [path for path in folder.rglob("*") if path.stat().st_size < 5000 and "geheim" in path.read_text()]


def test_a_holder_that_hangs_is_not_waited_for_for_ever(url, folder):
    cached = fetch_cached(url, policy=QUICK)
    with FileLock(f"{cached.path}.lock"), pytest.raises(UserError, match="other process"):
        fetch_cached(url, policy=Policy(total_timeout_s=0.2))


def test_waiting_is_said(url, caplog, monkeypatch):
    cached = fetch_cached(url, policy=QUICK)
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO")
    with FileLock(f"{cached.path}.lock"), pytest.raises(UserError):
        fetch_cached(url, policy=Policy(total_timeout_s=0.1))
    assert "waiting for it" in caplog.text


def test_two_processes_fetch_once(server, url, tmp_path, start_fetch):
    one_waits = threading.Event()
    server.script("a/data.zip", play.held(1000, until=one_waits))
    both = [start_fetch(url, log) for log in ("log1", "log2")]
    logs = [tmp_path / "log1", tmp_path / "log2"]
    wait_for(lambda: any("another process is fetching" in log.read_text() for log in logs))
    one_waits.set()
    assert [process.communicate(timeout=20)[0] for process in both] == [SHA256] * 2
    assert server.ranges("a/data.zip") == [None]
    assert sum("another process is fetching" in log.read_text() for log in logs) == 1


def test_killed_and_resumed(server, url, folder, start_fetch):
    server.script("a/data.zip", play.trickle(20_000, 0.05))
    process = start_fetch(url)
    wait_for(lambda: hundred_kilobytes_came(folder))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    (part,) = folder.glob(".part-*.zip")
    kept = part.stat().st_size
    assert 100_000 <= kept < len(CONTENT)
    assert fetch_cached(url, policy=QUICK).path.read_bytes() == CONTENT
    assert server.ranges("a/data.zip") == [None, f"bytes={kept}-"]
    assert list(folder.glob(".part-*")) == []


def test_the_one_who_waits_takes_over_from_a_killed_one(server, url, folder, start_fetch):
    server.script("a/data.zip", play.trickle(20_000, 0.05))
    process = start_fetch(url)
    wait_for(lambda: hundred_kilobytes_came(folder))
    killer = threading.Timer(0.2, process.kill)
    killer.start()
    try:
        assert fetch_cached(url, policy=QUICK).sha256 == SHA256
    finally:
        killer.join()
    first, second = server.ranges("a/data.zip")
    assert first is None
    assert (second or "").startswith("bytes=")
