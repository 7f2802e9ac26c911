"""Connections with time limits for slow clients; uvicorn by itself waits for a request forever.

Custom code, because no ASGI server limits the time of a whole body, closes the oldest idle connection to make room, or
refuses single-byte chunks. A request that was received completely is always answered: no limit here closes it.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A body may have this many chunks of any size, and one more for each 64 bytes received.
_FREE_CHUNKS, _BYTES_PER_CHUNK = 1000, 64


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits per server.

    Attributes:
        max_connections: open connections. One more closes the connection that has been idle for longest.
        timeout: seconds without progress: until the headers are complete, between parts of a body, or until the client
            reads a response.
        busy_timeout: the same for bodies, while at least half of `max_requests` are incomplete uploads.
        min_bytes_per_second: bytes of a body that count as one second of progress.
        max_requests: requests in progress, uploads included.
    """

    max_connections: int = 1000
    timeout: float = 20.0
    busy_timeout: float = 5.0
    min_bytes_per_second: float = 10_000.0
    max_requests: int = 64


class _Parser(h11.Connection):
    """h11's parser, which refuses too many small chunks: each takes as long as one with thousands of bytes."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._bytes / _BYTES_PER_CHUNK:
                raise h11.RemoteProtocolError("chunks too small")
        return event


class LimitedConnection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, closed when its client makes no progress for too long."""

    limits = ConnectionLimits()

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.conn = _Parser(h11.SERVER)
        self._progress_time = 0.0  # start of this wait for the client, moved forward by the bytes received since
        self._received_any = False  # any bytes since the start of this wait
        self._timer: asyncio.TimerHandle | None = None  # None while the client waits for the server

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            idle = (connection for connection in self._timed_connections() if connection._is_idle())
            oldest = min(idle, key=lambda connection: connection._progress_time, default=self)
            oldest._cancel_timer()
            oldest.transport.abort()
        self._update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_timer()

    def data_received(self, data: bytes) -> None:
        was_idle, self._received_any = self._is_idle(), True
        super().data_received(data)
        if was_idle and not self._is_idle():
            self._cancel_timer()  # the headers are complete: waiting for the body starts a new timer
        elif not was_idle:
            progress = len(data) / self.limits.min_bytes_per_second
            self._progress_time = min(self.loop.time(), self._progress_time + progress)
        self._update_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._cancel_timer()
        self._update_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._update_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._update_timer()

    def send_400_response(self, msg: str) -> None:
        """In JSON, like every error of this server."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _update_timer(self) -> None:
        """Start or cancel the timer; called wherever waiting for the client may begin or end."""
        if not (self.flow.write_paused or self._is_idle() or self.cycle.more_body):
            self._cancel_timer()
        elif self._timer is None and self in self.connections:
            self._progress_time, self._received_any = self.loop.time(), False
            self._check_timeout()

    def _is_idle(self) -> bool:
        """Whether no request's headers are complete since the last response."""
        return self.cycle is None or self.cycle.response_complete

    def _timed_connections(self) -> Iterator["LimitedConnection"]:
        """The connections that wait for their clients."""
        return (
            connection
            for connection in self.connections
            if isinstance(connection, LimitedConnection) and connection._timer
        )

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_timeout(self) -> None:
        """Close the connection if its client was too slow; check again later otherwise."""
        timeout, now = self.limits.timeout, self.loop.time()
        if not self._is_idle():
            if not self.flow.write_paused and (self.flow.read_paused or self.cycle.waiting_for_100_continue):
                self._progress_time = now  # it is the server that does not read
            uploads = sum(not connection._is_idle() for connection in self._timed_connections())
            if uploads >= self.limits.max_requests / 2:
                timeout = self.limits.busy_timeout
        remaining = self._progress_time + timeout - now
        if remaining > 0:
            self._timer = self.loop.call_later(min(remaining, self.limits.busy_timeout), self._check_timeout)
            return
        if self._received_any or not self._is_idle():
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "This request was not complete in time.")
        self._cancel_timer()
        self.transport.abort()  # close() alone would wait for a client that does not read the response

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Respond in place of the application, unless it has started to; then close the connection."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(b"".join(map(self.conn.send, _json_response(status, message))))
        self.transport.close()


def _json_response(status: HTTPStatus, message: str) -> Iterable[Any]:
    body = json.dumps({"error": message}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    yield h11.Response(status_code=status, headers=list(headers.items()), reason=status.phrase)
    yield h11.Data(data=body)
    yield h11.EndOfMessage()
