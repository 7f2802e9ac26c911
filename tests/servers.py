"""An HTTP server on the loopback that can misbehave on purpose: it plays one scripted act for each request.

    with PlayServer() as server:
        server.serve("data.zip", payload)                     # well-behaved: length, strong ETag, ranges
        server.script("data.zip", truncated(100), status(500))  # the first requests get these, later ones the file
        server.always("loop", redirect(server.url("loop")))   # each request gets this
        download(server.url("data.zip"), target)
        assert server.ranges("data.zip") == [None, "bytes=100-", "bytes=100-"]

Every act ends by itself, a silent one after `LONGEST_ACT_S`. All acts end at once when the server stops.
"""

import hashlib
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit

LONGEST_ACT_S = 20.0


class Request(NamedTuple):
    """A received request. Header names can be looked up in any letter case."""

    name: str
    headers: "Message[str, str]"


class Exchange(BaseHTTPRequestHandler):
    """One request, and methods to send a correct or a faulty response."""

    protocol_version = "HTTP/1.1"
    timeout = LONGEST_ACT_S
    play: "PlayServer"

    def do_GET(self) -> None:
        self.close_connection = True
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        act, self.content = self.play._act(Request(name, self.headers))
        self.etag = f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'
        act(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
        """Tests need no access log."""

    def start(self, code: int, length: int | None, **headers: str) -> None:
        """Send status line and headers. `length` None omits the length. Underscores in header names become dashes."""
        self.send_response(code)
        length_header = {} if length is None else {"Content-Length": str(length)}
        for name, value in {**headers, "Connection": "close", **length_header}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.wfile.write(data)

    def wait(self, seconds: float) -> bool:
        """Wait. Returns whether the server was stopped meanwhile."""
        return self.play.stopping.wait(min(seconds, LONGEST_ACT_S))

    def send_slowly(self, pieces: Iterable[bytes], pause: float) -> None:
        """Send the pieces with a pause after each, until `LONGEST_ACT_S` have passed or the server stops."""
        for piece in islice(pieces, int(LONGEST_ACT_S / pause)):
            self.send(piece)
            if self.wait(pause):
                return

    def offset(self, etag: str) -> int:
        """The first byte to send: the one that the Range header requests, if the ETag in If-Range matches."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(match[1]) if match and self.headers.get("if-range", etag) == etag else 0

    def begin(self, etag: str | None = None) -> bytes:
        """Send the correct status and headers; returns the body to send. `etag` may replace the ETag, or be empty."""
        etag = self.etag if etag is None else etag
        headers = {"Content_Type": "application/octet-stream", "Accept_Ranges": "bytes", "ETag": etag}
        start, length = self.offset(etag), len(self.content)
        if start >= length > 0:
            self.start(416, 0, Content_Range=f"bytes */{length}", **headers)
        elif start:
            self.start(206, length - start, Content_Range=f"bytes {start}-{length - 1}/{length}", **headers)
        else:
            self.start(200, length, **headers)
        return self.content[start:]

    def answer(self, code: int, length: int | None, body: bytes, **headers: str) -> None:
        """Send status, headers and body, whatever range was requested; see `start`."""
        self.start(code, length, **headers)
        self.send(body)

    def reset(self) -> None:
        """Close with a TCP reset. It closes the descriptor itself, since files of the handler keep the socket open."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


Act = Callable[[Exchange], Any]


def ok() -> Act:
    """Sends the file correctly, with length, ETag and ranges."""
    return truncated(None)


def truncated(keep: int | None, etag: str | None = None) -> Act:
    """Closes the connection after `keep` bytes of the announced body."""
    return lambda exchange: exchange.send(exchange.begin(etag)[:keep])


def reset(after: int) -> Act:
    """Resets the connection after `after` bytes of the body."""

    def act(exchange: Exchange) -> None:
        exchange.send(exchange.begin()[:after])
        exchange.wait(0.05)  # a reset overtakes bytes that the peer has not read
        exchange.reset()

    return act


def stall(after: int) -> Act:
    """Sends `after` bytes of the body and then nothing."""
    return lambda exchange: exchange.send_slowly([exchange.begin()[:after]], LONGEST_ACT_S)


def hold(after: int, until: threading.Event) -> Act:
    """Sends `after` bytes of the body, and the rest once the test sets `until`."""

    def act(exchange: Exchange) -> None:
        body = exchange.begin()
        exchange.send(body[:after])
        until.wait(LONGEST_ACT_S)
        exchange.send(body[after:])

    return act


def silent() -> Act:
    """Reads the request and sends no response."""
    return lambda exchange: exchange.wait(LONGEST_ACT_S)


def trickle(chunk: int, pause: float) -> Act:
    """Sends the file in pieces of `chunk` bytes, with a pause after each."""

    def split_body(body: bytes) -> Iterator[bytes]:
        return (body[start : start + chunk] for start in range(0, len(body), chunk))

    return lambda exchange: exchange.send_slowly(split_body(exchange.begin()), pause)


def endless(head: bytes, pause: float, pieces: Iterable[bytes] = repeat(b"x")) -> Act:
    """Sends a status line and `head`, then one piece after the other, such as an endless header."""
    return lambda exchange: exchange.send_slowly(chain([b"HTTP/1.1 200 OK\r\n" + head], pieces), pause)


CHUNK_HEAD = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;"


def wrong_length(by: int) -> Act:
    """Announces `by` bytes more than it sends, or fewer if `by` is negative."""
    return lambda exchange: exchange.answer(200, len(exchange.content) + by, exchange.content)


def no_length(keep: int | None = None) -> Act:
    """Sends the file, or its first bytes, without a length: the body ends when the connection is closed."""
    return lambda exchange: exchange.answer(200, None, exchange.content[:keep])


def no_ranges(keep: int | None = None) -> Act:
    """Ignores the requested range: sends the complete file, or its first `keep` bytes, with the correct ETag."""
    return lambda exchange: exchange.answer(200, len(exchange.content), exchange.content[:keep], ETag=exchange.etag)


def wrong_range(by: int) -> Act:
    """Sends a range that starts `by` bytes after the requested offset."""

    def act(exchange: Exchange) -> None:
        length, start = len(exchange.content), exchange.offset(exchange.etag) + by
        content_range = f"bytes {start}-{length - 1}/{length}"
        exchange.answer(206, length - start, exchange.content[start:], Content_Range=content_range, ETag=exchange.etag)

    return act


def unconditional_range(etag: str) -> Act:
    """Sends the range although If-Range names another version than this `etag`."""

    def act(exchange: Exchange) -> None:
        del exchange.headers["if-range"]
        exchange.send(exchange.begin(etag))

    return act


def status(code: int, body: bytes = b"no", **headers: str) -> Act:
    """Sends a response with this status: `status(503, Retry_After="1")`."""
    return lambda exchange: exchange.answer(code, len(body), body, **headers)


def redirect(to: str, code: int = 302) -> Act:
    return status(code, b"", Location=to)


def html() -> Act:
    """Sends a login page with status 200, as the network of a hotel does."""
    return status(200, b"<!DOCTYPE html><html>Please log in</html>", Content_Type="text/html; charset=utf-8")


class _Server(ThreadingHTTPServer):
    # stop() joins threads that are no daemons, so that no thread outlives its test.
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: many tests check a client that closes the connection early."""


class PlayServer:
    """A server that starts when it is created and is stopped by its context manager.

    `name` is always a path without the leading slash.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._content: dict[str, bytes] = {}
        self._scripts: dict[str, list[Act]] = {}
        self._always: dict[str, Act] = {}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (Exchange,), {"play": self}))
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
        """End every act and wait for its thread. May be called twice."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def url(self, name: str = "") -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/{quote(name)}"

    def serve(self, name: str, content: bytes) -> str:
        """Serve these bytes from now on. Returns the URL."""
        self._content[name] = content
        return self.url(name)

    def script(self, name: str, *acts: Act) -> None:
        """Play these acts for the next requests of `name`, one for each. Later requests get a correct response."""
        self._scripts.setdefault(name, []).extend(acts)

    def always(self, name: str, act: Act) -> None:
        """Play this act for every request of `name` for which no scripted act is left."""
        self._always[name] = act

    def count(self, name: str) -> int:
        """The number of requests of `name`."""
        return len(self.ranges(name))

    def ranges(self, name: str) -> list[str | None]:
        """The Range header of each request of `name`."""
        with self._lock:
            return [request.headers.get("range") for request in self.requests if request.name == name]

    def _act(self, request: Request) -> tuple[Act, bytes]:
        with self._lock:
            self.requests.append(request)
            content = self._content.get(request.name)
            fallback = self._always.get(request.name, ok() if content is not None else status(404))
            acts = self._scripts.get(request.name)
            return (acts.pop(0) if acts else fallback), content or b""
