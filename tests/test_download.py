"""A hostile server: each of its tricks ends in the right file or in one clear error, in bounded time."""

import errno
import hashlib
import io
import logging
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from types import SimpleNamespace

import pytest
import servers as play
from rich.console import Console
from servers import PlayServer

from realwaste import download as module
from realwaste.download import Policy, download
from realwaste.errors import UnreachableError, UserError
from realwaste.partial_file import PartialFile

CONTENT = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Policy(connect_timeout_s=2, stall_timeout_s=0.5, total_timeout_s=8, attempts=3, backoff_s=0.01)


@pytest.fixture(autouse=True)
def _no_authorities(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # loading the real ones takes longer than most of these tests


@pytest.fixture
def server():
    with PlayServer() as server:
        server.serve("f.zip", CONTENT)
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "in" / "f.zip"


@pytest.fixture
def fetch(server, target):
    return partial(download, server.url("f.zip"), target, policy=QUICK)


def parts(target):
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def refused(fetch, **arguments):
    """The plain UserError: a server that answers is never one that cannot be reached."""
    with pytest.raises(UserError) as caught:
        fetch(**arguments)
    assert not isinstance(caught.value, UnreachableError)
    return str(caught.value)


RECOVERED = {
    # name: (acts before the server behaves, Range header of each request)
    "good": ([], [None]),
    "truncated": ([play.truncated(100_000)], [None, "bytes=100000-"]),
    "truncated twice": ([play.truncated(5), play.truncated(7)], [None, "bytes=5-", "bytes=12-"]),
    "reset in the body": ([play.reset(100_000)], None),
    "reset before an answer": ([lambda exchange: exchange.reset()], [None, None]),
    "stalled": ([play.stall(70_000)], [None, "bytes=70000-"]),
    "silent": ([play.silent()], [None, None]),
    "500 then 200": ([play.status(500), play.status(502)], [None, None, None]),
    "429": ([play.status(429, Retry_After="0")], [None, None]),
    "announced too much": ([play.wrong_length(+10)], None),
    "no range support": ([play.truncated(100_000), play.no_ranges()], [None, "bytes=100000-"]),
    "no range support, twice": ([play.no_ranges(10), play.no_ranges(20)], [None, "bytes=10-", "bytes=20-"]),
    "weak ETag": ([play.truncated(100, ETag='W/"1"')], [None, None]),
    "no validator": ([play.truncated(100, ETag="")], [None, None]),
    "young Last-Modified": (
        [play.truncated(100, ETag="", Last_Modified=format_datetime(datetime.now(UTC), usegmt=True))],
        [None, None],
    ),
    "old Last-Modified": (
        [
            play.truncated(100, ETag="", Last_Modified=play.OLD_DATE),
            play.with_headers(ETag="", Last_Modified=play.OLD_DATE),
        ],
        [None, "bytes=100-"],
    ),
    "other version": ([play.truncated(100, ETag='"old"')], [None, "bytes=100-"]),
    "other version, range granted": (
        [play.truncated(100, ETag='"old"'), play.blind_range('"new"')],
        [None, "bytes=100-", None],
    ),
    "another range than asked for": ([play.truncated(100), play.wrong_range(-1)], [None, "bytes=100-", None]),
    "part that fits nothing": (
        [play.truncated(100), play.status(416, Content_Range="bytes */7")],
        [None, "bytes=100-", None],
    ),
    "no length": ([play.no_length()], [None]),
    "slow but within the limits": ([play.trickle(30_000, 0.02)], [None]),
}


@pytest.mark.parametrize(("acts", "ranges"), RECOVERED.values(), ids=RECOVERED)
def test_a_download_recovers(server, fetch, target, acts, ranges):
    server.script("f.zip", *acts)
    assert fetch() == SHA256
    assert target.read_bytes() == CONTENT
    assert parts(target) == []
    assert server.ranges("f.zip") == ranges or ranges is None


def test_if_range_carries_the_validator(server, fetch):
    server.script("f.zip", play.truncated(9, ETag='"v1"'), play.with_headers(ETag='"v1"'))
    fetch()
    assert server.requests[1].headers["if-range"] == '"v1"'
    assert server.requests[1].headers["accept-encoding"] == "identity"


FATAL = {
    # name: (act played for every request, words of the error, requests made)
    "404": (play.status(404), "status 404", 1),
    "403": (play.status(403, Retry_After="1"), "status 403", 1),
    "416 out of the blue": (play.status(416), "status 416", 1),
    "204": (play.status(204, b""), "status 204", 1),
    "302 without a place": (play.status(302), "status 302", 1),
    "500 for ever": (play.status(500), "status 500", 3),
    "truncated for ever": (play.no_ranges(10), "3 attempts", 3),
    "reset for ever": (lambda exchange: exchange.reset(), "3 attempts", 3),
    "HTML": (play.html(), "not a web page", 1),
    "HTML as 206": (play.status(206, Content_Type="text/html"), "not a web page", 1),
    "compressed all the same": (play.status(200, Content_Encoding="gzip"), "Accept-Encoding: identity", 1),
    "206 without a range": (play.status(206), "another range", 3),
    "long Retry-After": (play.status(503, Retry_After="86400"), "asks to wait 86400 s", 1),
    "Retry-After as a date": (
        play.status(503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)),
        "asks to wait 7",
        1,
    ),
    "redirect to file": (play.redirect("file:///etc/passwd"), "must start with http:// or https://", 1),
    "redirect to ftp": (play.redirect("ftp://127.0.0.1/x"), "must start with http:// or https://", 1),
    "redirect to no URL": (play.redirect("http://[::1"), "Invalid URL", 3),
    "redirect to itself": (play.redirect("/f.zip"), "at most 10 times", 11),
    "rubbish for HTTP": (lambda exchange: exchange.send(b"\x00\xff" * 500), "3 attempts", 3),
    "two lengths": (play.status(200, content_length="7"), "3 attempts", 3),
    "endless header": (lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000), "3 attempts", 3),
}


@pytest.mark.parametrize("case", FATAL.values(), ids=FATAL)
def test_a_download_ends_with_a_clear_error(server, fetch, target, case):
    act, words, requests = case
    server.always("f.zip", act)
    assert words in refused(fetch)
    assert server.count("f.zip") == requests
    assert not target.exists()


def test_a_failure_leaves_the_earlier_file_alone(server, fetch, target):
    fetch()
    server.always("f.zip", play.truncated(10))
    assert "attempts" in refused(fetch)
    assert target.read_bytes() == CONTENT


def test_attempts_that_get_further_are_no_failures_in_a_row(server, target):
    content = bytes(9 << 20)
    server.script("big", *[play.truncated(1_100_000)] * 6)
    download(server.serve("big", content), target, policy=QUICK)
    assert target.stat().st_size == len(content)
    assert server.count("big") == 7


@pytest.mark.parametrize("hops", [1, 10])
def test_redirects_are_followed(server, target, hops):
    for hop in range(hops):
        server.always(f"hop{hop}", play.redirect("/f.zip" if hop == hops - 1 else f"hop{hop + 1}", 301 + hop % 2))
    assert download(server.url("hop0"), target, policy=QUICK) == SHA256


def test_retry_after_is_honoured(server, fetch):
    server.script("f.zip", play.status(503, Retry_After="1"))
    began = time.monotonic()
    assert fetch() == SHA256
    assert 1 <= time.monotonic() - began < 3


SLOW = {
    "body": play.trickle(50, 0.05),
    "body without a length": play.unending(0.05),
    "header": play.trickled_headers(0.05),
    "nothing, again and again": play.silent(),
    "Retry-After": play.status(503, Retry_After="60"),
}


@pytest.mark.parametrize("act", SLOW.values(), ids=SLOW)
def test_the_total_time_is_limited(server, target, act):
    server.always("f.zip", act)
    policy = Policy(stall_timeout_s=0.3, total_timeout_s=0.6, attempts=99, backoff_s=0.01)
    began = time.monotonic()
    assert "must end within 0.6 s" in refused(partial(download, server.url("f.zip"), target, policy=policy))
    assert time.monotonic() - began < 2
    assert not target.exists()


# Checksums and sizes


@pytest.mark.parametrize(
    "digest", [f"sha256:{SHA256}", f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"]
)
def test_a_right_digest(fetch, digest):
    assert fetch(digest=digest) == SHA256
    assert fetch(digest=digest.upper()) == SHA256


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "md5:" + "0" * 32])
def test_a_wrong_digest_is_not_tried_again(server, fetch, target, digest):
    assert "must have the checksum" in refused(fetch, digest=digest)
    assert server.count("f.zip") == 1
    assert parts(target) == []  # else the next run would take the wrong file up again
    assert not target.exists()


@pytest.mark.parametrize(
    "act", [play.wrong_length(-10), play.no_length(100)], ids=["announced too little", "cut, no length"]
)
def test_only_a_digest_finds_what_http_cannot_tell(server, fetch, act):
    server.always("f.zip", act)
    assert "must have the checksum" in refused(fetch, digest=f"sha256:{SHA256}")


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:zz", "sha1:" + "0" * 40, "md5:" + "0" * 64, "0" * 64])
def test_a_malformed_digest_is_refused_before_any_request(server, fetch, digest):
    assert "digest must be" in refused(fetch, digest=digest)
    assert server.requests == []


@pytest.mark.parametrize("act", [play.ok(), play.no_length()], ids=["announced", "not announced"])
def test_too_many_bytes(server, fetch, target, act):
    server.always("f.zip", act)
    assert "at most 1,000 bytes" in refused(fetch, max_bytes=1000)
    assert server.count("f.zip") == 1
    assert parts(target) == []


def test_exactly_max_bytes(fetch):
    assert fetch(max_bytes=len(CONTENT)) == SHA256


def test_an_empty_file(server, target):
    assert download(server.serve("empty", b""), target, policy=QUICK) == hashlib.sha256(b"").hexdigest()
    assert target.read_bytes() == b""


# Resuming after the process has gone


def interrupted(server, fetch, keep=1000):
    """Leave a part of `keep` bytes, as a killed run does."""
    server.script("f.zip", play.truncated(keep), play.status(404))
    refused(fetch)
    server.requests.clear()


def test_the_next_run_goes_on(server, fetch, target):
    interrupted(server, fetch)
    assert parts(target) == [".part-f.zip", ".part-f.zip.json"]
    assert fetch() == SHA256
    assert server.ranges("f.zip") == ["bytes=1000-"]


def test_a_part_that_lacks_nothing_is_taken(server, fetch, target):
    interrupted(server, fetch)
    (target.parent / ".part-f.zip").write_bytes(CONTENT)
    assert fetch() == SHA256
    assert server.ranges("f.zip") == [f"bytes={len(CONTENT)}-"]


def test_another_version_since_then(server, fetch, target):
    interrupted(server, fetch)
    server.serve("f.zip", CONTENT[::-1])
    fetch()
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("note", ["", "[]", "{}", '"x"', "\xff", '{"validator": "a\\nb", "url_sha256": "?"}'])
def test_a_damaged_note_means_starting_over(server, fetch, target, note):
    interrupted(server, fetch)
    (target.parent / ".part-f.zip.json").write_text(note, encoding="latin-1")
    assert fetch() == SHA256
    assert server.ranges("f.zip") == [None]


def test_a_part_of_another_address_is_not_taken(server, fetch, target):
    interrupted(server, fetch)
    download(server.serve("other.zip", b"other"), target, policy=QUICK)
    assert target.read_bytes() == b"other"


def test_a_web_page_in_between_costs_nothing(server, fetch):
    interrupted(server, fetch)
    server.script("f.zip", play.html())
    assert "web page" in refused(fetch)
    assert fetch() == SHA256
    assert server.ranges("f.zip") == ["bytes=1000-", "bytes=1000-"]


# What is no answer at all, and what only looks like it


def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def test_a_port_where_nobody_listens(target):
    with pytest.raises(UnreachableError, match="none took the connection"):
        download(f"http://127.0.0.1:{closed_port()}/x", target, policy=Policy(backoff_s=0.01))


def test_a_name_that_is_not_found(target, monkeypatch):
    asked = []

    def unknown(host, *_, **__):  # the machine's resolver may take its time, or know every name
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match="was not found"):
        download("http://no-such-host.invalid/x", target, policy=Policy(backoff_s=0.01))
    assert asked == ["no-such-host.invalid"] * 2


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".x"])
def test_a_name_that_cannot_be(target, host):
    with pytest.raises(UserError, match=r"well-formed|was not found"):
        download(f"http://{host}/x", target, policy=Policy(backoff_s=0.01))


def test_a_look_up_without_end(target, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1))
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="no answer to the look-up"):
        download("http://example.invalid/x", target, policy=Policy(connect_timeout_s=0.1, backoff_s=0.01))
    assert time.monotonic() - began < 0.9


def test_a_connection_that_nobody_takes(target):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.socket() as first, socket.socket() as second:  # fill the backlog: the next ones get no reply
            for waiting in (first, second):
                waiting.setblocking(False)
                assert waiting.connect_ex(full.getsockname()) in (0, errno.EINPROGRESS)
            url = f"http://127.0.0.1:{full.getsockname()[1]}/x"
            with pytest.raises(UnreachableError, match="no connection within"):
                download(url, target, policy=Policy(connect_timeout_s=0.2, backoff_s=0.01))


def test_a_redirect_to_nobody_is_an_answer(server, target):
    server.always("gone", play.redirect(f"http://127.0.0.1:{closed_port()}/x"))
    assert "attempts" in refused(partial(download, server.url("gone"), target, policy=QUICK))


def test_tls_with_a_server_that_speaks_none(server, target):
    url = server.url("f.zip").replace("http://", "https://")
    assert "certificate" in refused(partial(download, url, target, policy=QUICK))
    assert server.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_tls_with_a_certificate_of_nobody(tmp_path, target, monkeypatch):
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        pem,
        *name,
    ]
    subprocess.run(make, check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + pem.read_bytes())
    with PlayServer(certificate=both) as server:
        url = server.serve("f.zip", CONTENT)
        assert "CERTIFICATE_VERIFY_FAILED" in refused(partial(download, url, target, policy=QUICK))
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        server.script("f.zip", play.truncated(500), play.trickled_headers(0.05))
        limited = Policy(total_timeout_s=1, backoff_s=0.01)  # the watchdog cuts a TLS line too
        assert "must end within" in refused(partial(download, url, target, policy=limited))
        assert download(url, target, policy=QUICK) == SHA256


def test_a_proxy_is_not_asked_for_the_loopback_but_for_others(server, fetch, target, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url().rstrip("/"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert fetch() == SHA256
    # The name is never looked up here: that is the proxy's business, which plays the file for it.
    assert download("http://far-away.invalid/f.zip", target, policy=QUICK) == SHA256
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:1")
    assert "proxy" in refused(fetch)


# Arguments, disk, display


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "data:,x", "/x", "", "http://", "http:///x", "s3://b/k"]
)
def test_only_http_and_https(target, url):
    assert "must start with http:// or https://" in refused(partial(download, url, target))


@pytest.mark.parametrize("url", ["http://[::1", "http://h:x/", "http://h/\x00"])
def test_a_malformed_address(target, url):
    assert "well-formed" in refused(partial(download, url, target))


def test_a_port_that_cannot_be(target):
    assert "65535" in refused(partial(download, "http://h:99999/x", target))


def test_secrets_of_an_address_are_not_shown_or_kept(server, target):
    url = server.url("f.zip").replace("http://", "http://me:geheim@") + "?token=geheim"
    server.script("f.zip", play.truncated(10), play.status(404))
    assert "geheim" not in refused(partial(download, url, target, policy=QUICK))
    assert "geheim" not in (target.parent / ".part-f.zip.json").read_text()


def test_the_disk_is_looked_at_first(fetch, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert "bytes free for the download" in refused(fetch)
    assert not target.exists()


def test_a_full_disk(fetch, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartialFile, "start_over", full)
    assert "disk have room" in refused(fetch)


def test_a_folder_in_the_way(fetch, target):
    target.mkdir(parents=True)
    assert "must be a file" in refused(fetch)


def test_a_file_where_the_folder_should_be(fetch, target):
    target.parent.write_text("")
    assert "must be writable" in refused(fetch)


@pytest.mark.parametrize("act", [play.ok(), play.no_length()], ids=["known", "unknown"])
def test_the_progress_bar_shows_name_bytes_and_speed(server, fetch, monkeypatch, caplog, act):
    caplog.set_level(logging.INFO, logger="realwaste")
    screen = io.StringIO()
    monkeypatch.setattr(module, "console", Console(file=screen, force_terminal=True, width=100))
    server.always("f.zip", act)
    fetch()
    assert "f.zip" in screen.getvalue()
    assert "307.2" in screen.getvalue()


def test_a_quiet_run_has_no_progress_bar(server, fetch, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, logger="realwaste")
    screen = io.StringIO()
    monkeypatch.setattr(module, "console", Console(file=screen, force_terminal=True, width=100))
    server.always("f.zip", play.ok())
    fetch()
    assert screen.getvalue() == ""
