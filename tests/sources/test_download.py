"""Downloads from a faulty server end with the complete file or one clear error, within limited time."""

import errno
import io
import shutil
import signal
import socket
import subprocess
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
import servers as play
from rich.console import Console
from servers import PlayServer

from realwaste.core.errors import UnreachableError, UserError
from realwaste.sources import download as download_module

CONTENT = bytes(range(256)) * 1200


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch):
    for name, value in {"CONNECT_TIMEOUT_S": 2, "STALL_TIMEOUT_S": 0.5, "ATTEMPTS": 3, "BACKOFF_S": 0.01}.items():
        monkeypatch.setattr(download_module, name, value)


@pytest.fixture
def very_short_timeouts(short_timeouts, monkeypatch):
    for name, value in {"CONNECT_TIMEOUT_S": 0.2, "STALL_TIMEOUT_S": 0.2, "ATTEMPTS": 2}.items():
        monkeypatch.setattr(download_module, name, value)


@pytest.fixture
def server():
    with PlayServer() as server:
        server.serve("f.zip", CONTENT)
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "f.zip"


def download(url, target):
    part = target.with_name(".part")
    download_module.Download(url, part).run()
    return part.replace(target).read_bytes()


@pytest.fixture
def fetch(server, target):
    return partial(download, server.url("f.zip"), target)


def list_parts(target):
    return sorted(path.name for path in target.parent.glob(".part*"))


def _catch_error(fetch, *arguments):
    """The message of a UserError that is not an UnreachableError, because the server can be reached."""
    with pytest.raises(UserError) as caught:
        fetch(*arguments)
    assert not isinstance(caught.value, UnreachableError)
    return str(caught.value)


RECOVERED = {
    # name: (acts of the first requests, expected Range header of each request or None for any)
    "no fault": ([], [None]),
    "truncated": ([play.truncated(100_000)], [None, "bytes=100000-"]),
    "reset in the body": ([play.reset(100_000)], None),
    "reset before a response": ([lambda exchange: exchange.reset()], [None, None]),
    "stalled": ([play.stall(70_000)], [None, "bytes=70000-"]),
    "silent": ([play.silent()], [None, None]),
    "trickled": ([play.trickle(50, 0.05)], None),
    "500 then 200": ([play.status(500), play.status(502)], [None, None, None]),
    "429": ([play.status(429, Retry_After="0")], [None, None]),
    "too large Content-Length": ([play.wrong_length(+10)], None),
    "no range support": ([play.truncated(100_000), play.no_ranges()], [None, "bytes=100000-"]),
    "weak ETag": ([play.truncated(100, etag='W/"1"')], [None, None]),
    "other version": ([play.truncated(100, etag='"old"')], [None, "bytes=100-"]),
    "other range": ([play.truncated(100, etag='"old"'), play.unconditional_range('"new"')], [None, "bytes=100-", None]),
    "another range than requested": ([play.truncated(100), play.wrong_range(-1)], [None, "bytes=100-", None]),
    "416": ([play.truncated(100), play.status(416, Content_Range="bytes */7")], [None, "bytes=100-", None]),
    "no length": ([play.no_length()], [None]),
    "slower in total than the limits": ([play.trickle(30_000, 0.1)], [None]),
    "redirected ten times": ([play.redirect("/f.zip", 301 + hop % 2) for hop in range(10)], [None] * 11),
}


@pytest.mark.parametrize(("acts", "ranges"), RECOVERED.values(), ids=RECOVERED)
def test_a_download_recovers_from_faults_of_the_server(server, fetch, target, acts, ranges):
    server.script("f.zip", *acts)
    assert fetch() == CONTENT
    assert list_parts(target) == []
    assert server.ranges("f.zip") == ranges or ranges is None


FATAL = {
    # name: (act of every request, part of the error message, expected number of requests)
    "404": (play.status(404), "status 404", 1),
    "500 for every request": (play.status(500), "status 500", 3),
    "truncated for every request": (play.no_ranges(10), "3 attempts", 3),
    "HTML": (play.html(), "not a web page", 1),
    "compressed although not accepted": (play.status(200, Content_Encoding="gzip"), "Accept-Encoding: identity", 1),
    "206 without a range": (play.status(206), "another range", 3),
    "long Retry-After": (play.status(503, Retry_After="7200"), "asks to wait 7200 s", 1),
    "redirect to file": (play.redirect("file:///etc/passwd"), "http:// or https://", 1),
    "redirect to itself": (play.redirect("/f.zip"), "at most 10 redirects", 11),
    "invalid HTTP": (lambda exchange: exchange.send(b"\x00\xff" * 500), "3 attempts", 3),
    "endless header": (lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000), "3 attempts", 3),
}


@pytest.mark.parametrize("case", FATAL.values(), ids=FATAL)
def test_a_failed_download_ends_with_a_clear_error(server, fetch, target, case):
    act, message, requests = case
    server.always("f.zip", act)
    assert message in _catch_error(fetch)
    assert server.count("f.zip") == requests
    assert not target.exists()


SILENT = {
    "body": (play.trickle(5, 0.05), "fewer than 1024 bytes"),
    "header": (play.endless(b"X-Slow: ", 0.05), "no answer within"),
    "chunk header": (play.endless(play.CHUNK_HEAD, 0.05), "fewer than 1024 bytes"),
    "nothing": (play.silent(), "Read timed out"),
}


@pytest.mark.usefixtures("very_short_timeouts")
@pytest.mark.parametrize("case", SILENT.values(), ids=SILENT)
def test_a_download_from_a_silent_server_times_out(server, target, case):
    act, message = case
    server.always("f.zip", act)
    start_s = time.monotonic()
    assert message in _catch_error(download, server.url("f.zip"), target)
    assert time.monotonic() - start_s < 4
    assert not target.exists()


def test_ctrl_c_ends_a_silent_download_at_once(server, fetch, monkeypatch):
    monkeypatch.setattr(download_module, "STALL_TIMEOUT_S", 15)
    server.script("f.zip", play.stall(1000))
    threading.Timer(1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    start_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch()
    assert time.monotonic() - start_s < 10


def test_attempts_with_progress_are_not_counted(server, target):
    content = bytes(9 << 20)
    server.script("big", *[play.truncated(1_100_000)] * 6)
    assert download(server.serve("big", content), target) == content
    assert server.count("big") == 7


def test_retry_after_is_honoured_if_it_is_short(server, fetch):
    server.script("f.zip", play.status(503, Retry_After="1"))
    start_s = time.monotonic()
    assert fetch() == CONTENT
    assert 1 <= time.monotonic() - start_s < 3


# Resuming the download of an earlier process


@pytest.fixture
def interrupted(server, fetch, target):
    """The partial file of 1,000 bytes that an interrupted run leaves."""
    server.script("f.zip", play.truncated(1000), play.status(404))
    _catch_error(fetch)
    server.requests.clear()
    assert list_parts(target) == [".part", ".part.etag"]
    return target.with_name(".part")


@pytest.mark.usefixtures("interrupted")
def test_the_next_run_resumes_the_same_version(server, fetch):
    server.script("f.zip", play.html())
    assert "web page" in _catch_error(fetch)
    assert fetch() == CONTENT
    assert server.ranges("f.zip") == ["bytes=1000-", "bytes=1000-"]
    assert server.requests[0].headers["if-range"].startswith('"')
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_part_with_all_bytes_is_complete(server, fetch, interrupted):
    interrupted.write_bytes(CONTENT)
    assert fetch() == CONTENT
    assert server.ranges("f.zip") == [f"bytes={len(CONTENT)}-"]


@pytest.mark.usefixtures("interrupted")
def test_a_part_of_another_version_is_replaced(server, fetch):
    server.serve("f.zip", CONTENT[::-1])
    assert fetch() == CONTENT[::-1]


@pytest.mark.parametrize("etag", ["", "x", '"\xff"', '"a\nb"'])
def test_a_damaged_etag_starts_over(server, fetch, interrupted, etag):
    interrupted.with_name(".part.etag").write_text(etag, encoding="latin-1")
    assert fetch() == CONTENT
    assert server.ranges("f.zip") == [None]


# Servers that cannot be reached, and errors that only look like that


def find_unused_port():
    with socket.socket() as socket_:
        socket_.bind(("127.0.0.1", 0))
        return socket_.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "a..b"])
def test_a_host_that_refuses_connections_is_unreachable(target, host):
    with pytest.raises(UnreachableError, match="none accepted the connection"):
        download(f"http://{host.format(port=find_unused_port())}/x", target)


def test_a_name_that_is_not_found_is_unreachable(target, monkeypatch):
    hosts_resolved = []

    def failing_getaddrinfo(host, *_, **__):  # the resolver of the machine may be slow, or resolve every name
        hosts_resolved.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", failing_getaddrinfo)
    with pytest.raises(UnreachableError, match=r"no-such-host\.invalid: .*not known"):
        download("http://no-such-host.invalid/x", target)
    assert hosts_resolved == ["no-such-host.invalid"] * 2


@pytest.mark.usefixtures("very_short_timeouts")
def test_a_slow_name_lookup_times_out(target, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2))
    start_s = time.monotonic()
    with pytest.raises(UnreachableError, match="no connection within"):
        download("http://example.invalid/x", target)
    assert time.monotonic() - start_s < 1.9


@pytest.mark.usefixtures("very_short_timeouts")
def test_a_connection_that_is_not_accepted_times_out(target):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.socket() as first, socket.socket() as second:  # fill the backlog: the next ones get no reply
            for client in (first, second):
                client.setblocking(False)
                assert client.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
            with pytest.raises(UnreachableError, match="no connection within"):
                download(f"http://127.0.0.1:{listener.getsockname()[1]}/x", target)


def test_a_server_without_tls_is_refused(server, target):
    assert "certificate" in _catch_error(download, server.url("f.zip").replace("http://", "https://"), target)
    assert server.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_an_untrusted_certificate_is_refused(tmp_path, target, monkeypatch):
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", pem], check=True, capture_output=True)
    combined_pem = tmp_path / "both.pem"
    combined_pem.write_bytes(key.read_bytes() + pem.read_bytes())
    with PlayServer(certificate=combined_pem) as server:
        url = server.serve("f.zip", CONTENT)
        assert "CERTIFICATE_VERIFY_FAILED" in _catch_error(download, url, target)
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        server.script("f.zip", play.truncated(500))
        assert download(url, target) == CONTENT


@pytest.fixture
def proxied(server, monkeypatch):
    """Use the server as proxy for all hosts, the loopback included."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, server.url().rstrip("/").replace("//", "//me:geheim@"))
    monkeypatch.setenv("no_proxy", "")


@pytest.mark.usefixtures("proxied")
def test_a_proxy_resolves_the_host_name(target):
    assert download("http://far-away.invalid/f.zip", target) == CONTENT


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.usefixtures("proxied")
def test_a_proxy_that_refuses_is_named_and_the_server_is_unreachable(server, target, monkeypatch, absent):
    if absent:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{find_unused_port()}")
    with pytest.raises(UnreachableError) as caught:  # the test server responds to CONNECT with 501
        download("https://far-away.invalid/f.zip", target)
    message = str(caught.value)
    assert ("the proxy http://127.0.0.1:" if absent else f"the proxy {server.url().rstrip('/')} refused it") in message
    assert "HTTPS_PROXY" in message
    assert "501" in message or absent
    assert "geheim" not in message


def test_a_proxy_of_another_protocol_is_refused(target, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:1")
    assert "proxy" in _catch_error(download, "http://far-away.invalid/f.zip", target)


# Secrets, disk space, progress bar


def test_secrets_in_a_url_are_not_shown(server, target, caplog):
    url = server.url("f.zip").replace("http://", "http://me:geheim@") + "?token=geheim"
    server.script("f.zip", play.truncated(10), play.status(500), play.status(404))
    assert "geheim" not in _catch_error(download, url, target)
    unreachable_url = f"http://me:geheim@127.0.0.1:{find_unused_port()}/?token=geheim"
    server.always("gone", play.redirect(unreachable_url))
    message = _catch_error(download, server.url("gone"), target)
    assert "attempts" in message, "the server that redirects is reachable"
    assert "geheim" not in message
    with pytest.raises(UnreachableError) as caught:
        download(unreachable_url, target)
    assert "geheim" not in str(caught.value)
    assert "geheim" not in caplog.text


def test_free_space_is_checked_first(fetch, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert "bytes free for the download" in _catch_error(fetch)
    assert not target.exists()


@pytest.fixture
def screen(monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(download_module, "console", Console(file=output, force_terminal=True, width=80))
    return output


@pytest.mark.parametrize("act", [play.ok(), play.no_length()], ids=["known", "unknown"])
def test_the_progress_bar_shows_name_and_bytes(server, fetch, screen, act):
    server.always("f.zip", act)
    fetch()
    assert "f.zip" in screen.getvalue()
    assert "307.2" in screen.getvalue()


def test_without_bytes_or_in_a_quiet_run_there_is_no_progress_bar(server, fetch, screen, target, caplog):
    caplog.set_level("INFO", logger="realwaste")
    server.script("f.zip", *[play.status(500)] * download_module.ATTEMPTS)
    _catch_error(fetch)
    with pytest.raises(UnreachableError):
        download(f"http://127.0.0.1:{find_unused_port()}/x", target)
    caplog.set_level("WARNING", logger="realwaste")
    fetch()
    assert screen.getvalue() == caplog.text == ""
