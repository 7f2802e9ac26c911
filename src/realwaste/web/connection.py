"""A connection whose client may not keep it for nothing: uvicorn itself waits for requests without end.

By hand, since no server for ASGI limits the time of a whole body, closes an idle connection to make room, or refuses
chunks of single bytes. A request that has come whole is always answered: nothing here closes its connection.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_FREE_CHUNKS, _CHUNK = 1000, 64  # so many of any size, and one more a so many bytes


@dataclass(frozen=True)
class Limits:
    """What clients are given.

    Attributes:
        connections: open at a time. One more, and the one that has been idle for the longest is closed.
        patience: seconds without progress: for a request's headers to come whole, between pieces of its body, or for an
            answer to be taken.
        haste: the same for bodies, while half of `requests` or more are uploads that have not come whole.
        rate: bytes of a body that are a second's progress.
        requests: that may be in work at a time, uploads included.
    """

    connections: int = 1000
    patience: float = 20.0
    haste: float = 5.0
    rate: float = 10_000.0
    requests: int = 64


class _Parser(h11.Connection):
    """h11's, which takes as long for a chunk of one byte as for one of thousands: too many of these are an error."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._bytes / _CHUNK:
                raise h11.RemoteProtocolError("chunks too small")
        return event


class Connection(H11Protocol):
    """uvicorn's own, closed when its client has kept it waiting for too long."""

    limits = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = _Parser(h11.SERVER)
        self._progress = 0.0  # when this wait for the client began, later by what has come since then
        self._came = False  # anything since then
        self._timer: asyncio.TimerHandle | None = None  # none while the client waits for us

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            idle = (one for one in self._waiting() if one._is_idle())
            oldest = min(idle, key=lambda one: one._progress, default=self)
            oldest._stop()
            oldest.transport.abort()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def data_received(self, data: bytes) -> None:
        was_idle, self._came = self._is_idle(), True
        super().data_received(data)
        if was_idle and not self._is_idle():
            self._stop()  # the headers have come: the wait for the body is another
        elif not was_idle:
            self._progress = min(self.loop.time(), self._progress + len(data) / self.limits.rate)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """As every error of this server is told."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _look(self) -> None:
        """Start or stop the clock: wherever a wait for the client may begin or end."""
        if not (self.flow.write_paused or self._is_idle() or self.cycle.more_body):
            self._stop()
        elif self._timer is None and self in self.connections:
            self._progress, self._came = self.loop.time(), False
            self._ring()

    def _is_idle(self) -> bool:
        """No request's headers have come whole since the last answer."""
        return self.cycle is None or self.cycle.response_complete

    def _waiting(self) -> Iterator["Connection"]:
        """The connections that wait for their clients."""
        return (one for one in self.connections if isinstance(one, Connection) and one._timer)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        patience, now = self.limits.patience, self.loop.time()
        if not self._is_idle():
            if not self.flow.write_paused and (self.flow.read_paused or self.cycle.waiting_for_100_continue):
                self._progress = now  # it is we who do not read
            if sum(not one._is_idle() for one in self._waiting()) >= self.limits.requests / 2:
                patience = self.limits.haste
        left = self._progress + patience - now
        if left > 0:
            self._timer = self.loop.call_later(min(left, self.limits.haste), self._ring)
            return
        if self._came or not self._is_idle():
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "This request did not come whole in time.")
        self._stop()
        self.transport.abort()  # closing alone would wait for a client that takes no answer

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """An answer beside the application's, if none has begun; the last on this connection."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(b"".join(map(self.conn.send, _json(status, message))))
        self.transport.close()


def _json(status: HTTPStatus, message: str) -> Iterable[Any]:
    body = json.dumps({"error": message}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    yield h11.Response(status_code=status, headers=list(headers.items()), reason=status.phrase)
    yield h11.Data(data=body)
    yield h11.EndOfMessage()
