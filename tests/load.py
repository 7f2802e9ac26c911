"""A load generator for `realwaste serve`: hundreds of clients in one thread; counts responses by status, or as CUT."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator

CUT = 0  # counted in place of a status: the connection ended before the response was complete
_LONGEST_S = 60.0


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


async def _client(
    port: int, request: bytes, *, keep_alive: bool, rounds: Iterable[object], counts: Counter[int]
) -> None:
    """Send one request for each element of `rounds`, each over a new connection or all over one that is kept alive."""
    connection = None
    try:
        for _ in rounds:
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", port)
                counts[await asyncio.wait_for(_exchange(connection, request), _LONGEST_S)] += 1
                must_close = not keep_alive
            except (OSError, EOFError, TimeoutError):
                counts[CUT] += 1
                must_close = True
            if connection is not None and must_close:
                connection[1].close()
                connection = None
    finally:  # also if the task is cancelled
        if connection is not None:
            connection[1].close()


async def _poll_health(port: int, counts: Counter[int]) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    while True:
        await _client(port, request, keep_alive=False, rounds=[None], counts=counts)
        await asyncio.sleep(0.1)


def send(
    port: int, photo: bytes, clients: int, *, seconds: float | None = None, keep_alive: bool = False
) -> tuple[Counter[int], Counter[int]]:
    """Start clients at the same moment that send a photo once, or repeatedly for some seconds.

    Returns:
        The number of responses by status: of requests for predictions, and of requests for /health meanwhile.
    """
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(photo)}\r\n"
    request = (head + ("\r\n" if keep_alive else "Connection: close\r\n\r\n")).encode() + photo
    end = time.monotonic() + (seconds or 0)
    answers: Counter[int] = Counter()
    health: Counter[int] = Counter()

    def rounds() -> Iterator[None]:
        yield
        while time.monotonic() < end:
            yield

    async def run() -> None:
        health_task = asyncio.create_task(_poll_health(port, health))
        client_tasks = (
            _client(port, request, keep_alive=keep_alive, rounds=rounds(), counts=answers) for _ in range(clients)
        )
        await asyncio.gather(*client_tasks)
        health_task.cancel()
        await asyncio.gather(health_task, return_exceptions=True)

    asyncio.run(run())
    return answers, health
