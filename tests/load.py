"""Clients of `realwaste serve` by the hundred, in one thread: what each request came to, an answer's status or CUT."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

CUT = 0  # in the place of a status: the connection ended without a whole answer
_LONGEST_S = 60.0


@dataclass
class Outcome:
    """What the requests for answers, and the looks at /health meanwhile, came to: how many of each status."""

    answers: Counter[int] = field(default_factory=Counter)
    health: Counter[int] = field(default_factory=Counter)
    slowest_look: float = 0.0
    seconds: float = 0.0


async def _exchange(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> int:
    reader, writer = connection
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    status = int(head.split(b" ")[1])
    assert status == 200 or body.startswith(b'{"error":'), body
    assert status != 503 or b"retry-after: " in head, head
    return status


async def _client(port: int, request: bytes, *, keep_alive: bool, turns: Iterable[int], came: Counter[int]) -> None:
    """A request a turn, each over a new connection or as long as it lasts over the same."""
    connection = None
    try:
        for _ in turns:
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", port)
                came[await asyncio.wait_for(_exchange(connection, request), _LONGEST_S)] += 1
                is_over = not keep_alive
            except (OSError, EOFError, TimeoutError):
                came[CUT] += 1
                is_over = True
            if connection is not None and is_over:
                connection[1].close()
                connection = None
    finally:  # also of a look that is cancelled
        if connection is not None:
            connection[1].close()


async def _look(port: int, outcome: Outcome) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    while True:
        began = time.monotonic()
        await _client(port, request, keep_alive=False, turns=range(1), came=outcome.health)
        outcome.slowest_look = max(outcome.slowest_look, time.monotonic() - began)
        await asyncio.sleep(0.1)


def send(
    port: int, photo: bytes, clients: int, *, seconds: float | None = None, keep_alive: bool = False, query: str = ""
) -> Outcome:
    """Clients that begin at the same moment and send a photograph: once, or again and again for some seconds."""

    async def run() -> Outcome:
        outcome = Outcome()
        began = time.monotonic()
        head = f"POST /predict{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(photo)}\r\n"
        request = (head + ("\r\n" if keep_alive else "Connection: close\r\n\r\n")).encode() + photo

        def turns() -> Iterable[int]:
            for turn in count():
                if turn and (seconds is None or time.monotonic() > began + seconds):
                    return
                yield turn

        looking = asyncio.create_task(_look(port, outcome))
        sending = (
            _client(port, request, keep_alive=keep_alive, turns=turns(), came=outcome.answers) for _ in range(clients)
        )
        await asyncio.gather(*sending)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        outcome.seconds = time.monotonic() - began
        return outcome

    return asyncio.run(run())
