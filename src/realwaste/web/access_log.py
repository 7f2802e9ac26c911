"""A line a request, of what no photograph and no secret can be read from."""

import logging
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def to_standard_output() -> Callable[[str], None]:
    """A writer of lines, each at once and whole."""
    own = logging.getLogger("realwaste.access")
    own.handlers = [logging.StreamHandler(sys.stdout)]
    own.propagate = False
    own.setLevel(logging.INFO)
    return lambda line: own.info("%s", line)


class AccessLog:
    """ASGI middleware that writes `time client method path status bytes seconds`, divided by spaces, a `-` for nothing.

    The query is left out, and so is a path that is none of the server's, which a client may have made of anything.

    Args:
        app: what answers; the outermost but this.
        write: takes a line.
        paths: those of the server.
    """

    def __init__(self, app: ASGIApp, *, write: Callable[[str], None], paths: Collection[str]) -> None:
        self._app = app
        self._write = write
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came, began = datetime.now(UTC), time.monotonic()
        status, sent = "-", 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = str(message["status"])
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except BaseException as error:
            status = "500" if isinstance(error, Exception) else "503"  # what is answered, behind this
            raise
        finally:
            client = (scope.get("client") or ["-"])[0]
            method = scope["method"] if scope["method"] in _METHODS else "-"
            path = scope["path"] if scope["path"] in self._paths else "-"
            took = time.monotonic() - began
            self._write(f"{came:%Y-%m-%dT%H:%M:%SZ} {client} {method} {path} {status} {sent} {took:.3f}")
