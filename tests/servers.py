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
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit

LONGEST_ACT_S = 20.0


class Request(NamedTuple):
    """A request as it came; the names of headers may be in any letter case."""

    name: str
    headers: "Message[str, str]"


class Exchange(BaseHTTPRequestHandler):
    """One request and the means to answer it, rightly or wrongly."""

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
        """Tests have no use for an access log."""

    def start(self, code: int, length: int | None, **headers: str) -> None:
        """Status line and headers; `length` None leaves the body open-ended. Underscores in names become dashes."""
        self.send_response(code)
        sized = {} if length is None else {"Content-Length": str(length)}
        for name, value in {**headers, "Connection": "close", **sized}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.wfile.write(data)

    def wait(self, seconds: float) -> bool:
        """Whether the server stopped meanwhile."""
        return self.play.stopping.wait(min(seconds, LONGEST_ACT_S))

    def send_slowly(self, pieces: Iterable[bytes], pause: float) -> None:
        """The pieces with a pause after each, until `LONGEST_ACT_S` are over or the server stops."""
        for piece in islice(pieces, int(LONGEST_ACT_S / pause)):
            self.send(piece)
            if self.wait(pause):
                return

    def offset(self, etag: str) -> int:
        """The first byte to send: what the Range header asks for, if If-Range agrees."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(match[1]) if match and self.headers.get("if-range", etag) == etag else 0

    def begin(self, etag: str | None = None) -> bytes:
        """Answer as a good server does, up to the headers; the body that is due. `etag` may be another, or empty."""
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
        """Status, headers and body, whatever range was asked for; see `start`."""
        self.start(code, length, **headers)
        self.send(body)

    def reset(self) -> None:
        """Close so that the peer gets a TCP reset: the descriptor itself, since the handler's files hold the socket."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


Act = Callable[[Exchange], Any]


def ok() -> Act:
    """The file, with length, ETag and ranges."""
    return truncated(None)


def truncated(keep: int | None, etag: str | None = None) -> Act:
    """Closes after `keep` bytes of the body it announced."""
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

    def cut(body: bytes) -> Iterator[bytes]:
        return (body[start : start + chunk] for start in range(0, len(body), chunk))

    return lambda exchange: exchange.send_slowly(cut(exchange.begin()), pause)


def endless(head: bytes, pause: float, pieces: Iterable[bytes] = repeat(b"x")) -> Act:
    """A status line, `head`, and then one piece after the other, such as a header that never ends."""
    return lambda exchange: exchange.send_slowly(chain([b"HTTP/1.1 200 OK\r\n" + head], pieces), pause)


CHUNK_HEAD = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;"


def wrong_length(by: int) -> Act:
    """Announces `by` bytes more than it sends; fewer, when negative."""
    return lambda exchange: exchange.answer(200, len(exchange.content) + by, exchange.content)


def no_length(keep: int | None = None) -> Act:
    """The file, or its first bytes, without a length: the end of the connection is the end of the body."""
    return lambda exchange: exchange.answer(200, None, exchange.content[:keep])


def no_ranges(keep: int | None = None) -> Act:
    """The whole file, or its first `keep` bytes, whatever range was asked for; with the ETag that allowed to ask."""
    return lambda exchange: exchange.answer(200, len(exchange.content), exchange.content[:keep], ETag=exchange.etag)


def wrong_range(by: int) -> Act:
    """A part that starts `by` bytes beside the place that was asked for."""

    def act(exchange: Exchange) -> None:
        length, start = len(exchange.content), exchange.offset(exchange.etag) + by
        span = f"bytes {start}-{length - 1}/{length}"
        exchange.answer(206, length - start, exchange.content[start:], Content_Range=span, ETag=exchange.etag)

    return act


def unconditional_range(etag: str) -> Act:
    """Grants the range although If-Range named another version than this `etag`."""

    def act(exchange: Exchange) -> None:
        del exchange.headers["if-range"]
        exchange.send(exchange.begin(etag))

    return act


def status(code: int, body: bytes = b"no", **headers: str) -> Act:
    """An answer of this status: `status(503, Retry_After="1")`."""
    return lambda exchange: exchange.answer(code, len(body), body, **headers)


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
        """End every act and wait for its thread; may be called twice."""
        self.stopping.set()
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
            return [request.headers.get("range") for request in self.requests if request.name == name]

    def _act(self, request: Request) -> tuple[Act, bytes]:
        with self._lock:
            self.requests.append(request)
            content = self._content.get(request.name)
            fallback = self._always.get(request.name, ok() if content is not None else status(404))
            acts = self._scripts.get(request.name)
            return (acts.pop(0) if acts else fallback), content or b""
