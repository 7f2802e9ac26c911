"""The access log: one line per request, without query strings, file names or anything else a client sent.

Custom code, because uvicorn's access log contains the path and the query as the client sent them.
"""

import logging
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def stdout_writer() -> Callable[[str], None]:
    """A function that writes one line to standard output and flushes it."""
    access_logger = logging.getLogger("realwaste.access")
    access_logger.handlers = [logging.StreamHandler(sys.stdout)]
    access_logger.propagate = False
    access_logger.setLevel(logging.INFO)
    return lambda line: access_logger.info("%s", line)


class AccessLog:
    """ASGI middleware that writes `time client method path status bytes seconds` per request, `-` for a missing value.

    The query string is omitted. A path that the server does not have is written as `-`: a client could put anything
    into it: `paths` are those of its routes.
    """

    def __init__(self, app: ASGIApp, *, write: Callable[[str], None], paths: Collection[str]) -> None:
        self._app = app
        self._write = write
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received_at, started = datetime.now(UTC), time.monotonic()
        status, bytes_sent = "-", 0

        async def send_and_count(message: Message) -> None:
            nonlocal status, bytes_sent
            if message["type"] == "http.response.start":
                status = str(message["status"])
            bytes_sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_and_count)
        except BaseException as error:
            status = "500" if isinstance(error, Exception) else "503"  # the response that the outer handler sends
            raise
        finally:
            client = (scope.get("client") or ["-"])[0]
            method = scope["method"] if scope["method"] in _METHODS else "-"
            path = scope["path"] if scope["path"] in self._paths else "-"
            seconds = time.monotonic() - started
            timestamp = f"{received_at:%Y-%m-%dT%H:%M:%SZ}"
            self._write(f"{timestamp} {client} {method} {path} {status} {bytes_sent} {seconds:.3f}")
