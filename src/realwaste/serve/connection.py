"""A connection whose client may not keep it for nothing: uvicorn itself waits for requests without end.

By hand, since no server for ASGI limits the time of a whole body, or closes an idle connection to make room.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True)
class Limits:
    """What clients are given.

    Attributes:
        waiting: connections that may wait for their clients at a time. One more, and the oldest of those that have sent
            no whole headers is closed; where there is none, the oldest of those that are sending a body.
        patience: seconds for a request to come whole, or for an answer to be taken.
        rate: bytes of a body that earn it one second more.
        requests: that may be in work at a time, uploads included; more than `waiting`, or uploads could fill it.
    """

    waiting: int = 32
    patience: float = 20.0
    rate: float = 10_000.0
    requests: int = 64


class Connection(H11Protocol):
    """uvicorn's own, closed when its client has kept it waiting for too long."""

    limits = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._since = 0.0  # when this wait for the client began
        self._came = 0  # bytes since then
        self._timer: asyncio.TimerHandle | None = None  # none while the client waits for us

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        super().data_received(data)
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
            self._since, self._came = self.loop.time(), 0
            self._timer = self.loop.call_later(self.limits.patience, self._ring)
            self._make_room()

    def _is_idle(self) -> bool:
        """No request's headers have come whole since the last answer."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        others = [one for one in self.connections if isinstance(one, Connection) and one._timer and one is not self]
        if len(others) >= self.limits.waiting:
            oldest = min(others, key=lambda one: (not one._is_idle(), one._since))
            oldest._stop()
            oldest.transport.abort()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        # What comes after an answer, or instead of headers, is worth no time.
        earned = 0 if self._is_idle() else self._came / self.limits.rate
        left = self._since + self.limits.patience + earned - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._ring)
            return
        if self._came:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "This request did not come whole in time.")
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
