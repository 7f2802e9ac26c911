"""A server on the loopback that serves bytes, and plays every trick of a bad one, one act a request.

    with PlayServer() as server:
        server.serve("data.zip", payload)                     # well-behaved: length, strong ETag, ranges
        server.script("data.zip", truncated(100), status(500))  # the first requests get these, later ones the file
        server.always("loop", redirect(server.url("loop")))   # each request gets this
        download(server.url("data.zip"), target)
        assert server.ranges("data.zip") == [None, "bytes=100-", "bytes=100-"]

Every act ends by itself (a silence after `LONGEST_ACT_S`), and at once when the server stops.
"""

import hashlib
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote, urlsplit

LONGEST_ACT_S = 20.0
OLD_DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    name: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class Exchange:
    """One request and the means to answer it, rightly or wrongly."""

    request: Request
    content: bytes
    handler: BaseHTTPRequestHandler
    stopping: threading.Event
    headers: dict[str, str] = field(default_factory=dict)

    def start(self, code: int, length: int | None, **headers: str) -> None:
        """Status line and headers; `length` None leaves the body open-ended. Underscores in names become dashes."""
        self.handler.send_response(code)
        named_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {**self.headers, **named_headers, "Connection": "close"}.items():
            if value:
                self.handler.send_header(name, value)
        if length is not None:
            self.handler.send_header("Content-Length", str(length))
        self.handler.end_headers()

    def send(self, data: bytes) -> None:
        self.handler.wfile.write(data)

    def wait(self, seconds: float) -> None:
        self.stopping.wait(min(seconds, LONGEST_ACT_S))

    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    def requested_offset(self) -> int:
        """The first byte to send: what the Range header asks for, if If-Range agrees."""
        match = re.fullmatch(r"bytes=(\d+)-", self.request.range or "")
        version = self.headers.get("ETag") or self.headers.get("Last-Modified", "")
        is_same_version = self.request.headers.get("if-range", version) == version
        return int(match[1]) if match and is_same_version else 0

    def begin(self) -> bytes:
        """Answer as a good server does, up to the headers; the body that is due."""
        self.headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"} | self.headers
        self.headers.setdefault("ETag", self.etag())
        start, length = self.requested_offset(), len(self.content)
        if start >= length > 0:
            self.start(416, 0, Content_Range=f"bytes */{length}")
            return b""
        body = self.content[start:]
        if start:
            self.start(206, len(body), Content_Range=f"bytes {start}-{length - 1}/{length}")
        else:
            self.start(200, len(body))
        return body

    def reset(self) -> None:
        """Close so that the peer gets a TCP reset: the descriptor itself, since the handler's files hold the socket."""
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.handler.connection.detach())


Act = Callable[[Exchange], None]


def ok() -> Act:
    """The file, with length, ETag and ranges."""
    return truncated(None)


def truncated(keep: int | None, **headers: str) -> Act:
    """Closes after `keep` bytes of the body it announced; headers are replaced, or left out if empty (`ETag=""`)."""

    def act(exchange: Exchange) -> None:
        exchange.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        exchange.send(exchange.begin()[:keep])

    return act


def reset(after: int) -> Act:
    """Resets the connection after `after` bytes of the body."""

    def act(exchange: Exchange) -> None:
        exchange.send(exchange.begin()[:after])
        exchange.wait(0.05)  # a reset overtakes bytes that the peer has not read
        exchange.reset()

    return act


def stall(after: int) -> Act:
    """Sends `after` bytes of the body and then nothing."""

    def act(exchange: Exchange) -> None:
        exchange.send(exchange.begin()[:after])
        exchange.wait(LONGEST_ACT_S)

    return act


def hold(after: int, until: threading.Event) -> Act:
    """Sends `after` bytes of the body, and the rest once the test says so."""

    def act(exchange: Exchange) -> None:
        body = exchange.begin()
        exchange.send(body[:after])
        until.wait(LONGEST_ACT_S)
        exchange.send(body[after:])

    return act


def silent() -> Act:
    """Takes the request and never answers."""
    return lambda exchange: exchange.wait(LONGEST_ACT_S)


def trickle(chunk: int, pause: float) -> Act:
    """The file, `chunk` bytes at a time."""

    def act(exchange: Exchange) -> None:
        body = exchange.begin()
        for start in range(0, len(body), chunk):
            exchange.send(body[start : start + chunk])
            exchange.wait(pause)
            if exchange.stopping.is_set():
                return

    return act


def trickled_headers(pause: float) -> Act:
    """A header that never ends, a byte at a time."""
    return _endless(b"HTTP/1.1 200 OK\r\nX-Slow: ", pause)


def trickled_chunk_head(pause: float) -> Act:
    """A chunk whose head never ends, a byte at a time."""
    return _endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;", pause)


def _endless(head: bytes, pause: float) -> Act:
    def act(exchange: Exchange) -> None:
        exchange.send(head)
        for _ in range(int(LONGEST_ACT_S / pause)):
            exchange.send(b"x")
            exchange.wait(pause)
            if exchange.stopping.is_set():
                return

    return act


def wrong_length(by: int) -> Act:
    """Announces `by` bytes more than it sends; fewer, when negative."""
    return _whole(lambda content: len(content) + by)


def no_length(keep: int | None = None) -> Act:
    """The file, or its first bytes, without a length: the end of the connection is the end of the body."""
    return _whole(lambda _: None, keep)


def _whole(length: Callable[[bytes], int | None], keep: int | None = None) -> Act:
    def act(exchange: Exchange) -> None:
        exchange.start(200, length(exchange.content))
        exchange.send(exchange.content[:keep])

    return act


def no_ranges(keep: int | None = None) -> Act:
    """The whole file, or its first `keep` bytes, whatever range was asked for; with the ETag that allowed to ask."""

    def act(exchange: Exchange) -> None:
        exchange.start(200, len(exchange.content), ETag=exchange.etag())
        exchange.send(exchange.content[:keep])

    return act


def wrong_range(by: int) -> Act:
    """A part that starts `by` bytes beside the place that was asked for."""

    def act(exchange: Exchange) -> None:
        length = len(exchange.content)
        start = exchange.requested_offset() + by
        body = exchange.content[start:]
        exchange.start(206, len(body), Content_Range=f"bytes {start}-{length - 1}/{length}", ETag=exchange.etag())
        exchange.send(body)

    return act


def unconditional_range(etag: str) -> Act:
    """Grants the range although If-Range named another version than this `etag`."""

    def act(exchange: Exchange) -> None:
        exchange.request.headers.pop("if-range", None)
        exchange.headers["ETag"] = etag
        exchange.send(exchange.begin())

    return act


def status(code: int, body: bytes = b"no", **headers: str) -> Act:
    """An answer of this status: `status(503, Retry_After="1")`."""

    def act(exchange: Exchange) -> None:
        exchange.start(code, len(body), **headers)
        exchange.send(body)

    return act


def redirect(to: str, code: int = 302) -> Act:
    return status(code, b"", Location=to)


def html() -> Act:
    """The login page of a hotel's network, with status 200."""
    return status(200, b"<!DOCTYPE html><html>Please log in</html>", Content_Type="text/html; charset=utf-8")


class _Server(ThreadingHTTPServer):
    # Not daemons: stop() then joins them, and no thread of one test reaches into the next.
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the middle of an act is what many tests are about."""


class PlayServer:
    """Starts on creation; a context manager that stops it. Names are paths without the leading slash."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._content: dict[str, bytes] = {}
        self._scripts: dict[str, list[Act]] = {}
        self._always: dict[str, Act] = {}
        self._stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every act and wait for its thread; may be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def url(self, name: str = "") -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/{quote(name)}"

    def serve(self, name: str, content: bytes) -> str:
        """Serve these bytes from now on; returns the address."""
        self._content[name] = content
        return self.url(name)

    def script(self, name: str, *acts: Act) -> None:
        """Play these acts for the next requests of `name`, one each; after them it is served well."""
        self._scripts.setdefault(name, []).extend(acts)

    def always(self, name: str, act: Act) -> None:
        """Play this act for every request of `name` that no script takes."""
        self._always[name] = act

    def count(self, name: str) -> int:
        """How often `name` was asked for."""
        return len(self.ranges(name))

    def ranges(self, name: str) -> list[str | None]:
        """The Range header of each request of `name`."""
        with self._lock:
            return [request.range for request in self.requests if request.name == name]

    def _act(self, request: Request) -> tuple[Act, bytes]:
        with self._lock:
            self.requests.append(request)
            content = self._content.get(request.name)
            fallback = self._always.get(request.name, ok() if content is not None else status(404))
            acts = self._scripts.get(request.name)
            return (acts.pop(0) if acts else fallback), content or b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        play = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = LONGEST_ACT_S

            def do_GET(self) -> None:
                name = unquote(urlsplit(self.path).path).removeprefix("/")
                request = Request(name, {key.lower(): value for key, value in self.headers.items()})
                act, content = play._act(request)
                self.close_connection = True
                act(Exchange(request, content, self, play._stopping))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
                """Tests have no use for an access log."""

        return Handler
