"""The server of `realwaste serve` and `review`, in a thread of the tests' process."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from realwaste.web import address
from realwaste.web.connection import ConnectionLimits
from realwaste.web.server import uvicorn_config


@contextmanager
def serving(app: ASGIApp, limits: ConnectionLimits) -> Iterator[tuple[str, int]]:
    """Serve an application in a thread; gives its host and port."""
    listening = address.bind_socket("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn_config(app, limits))
    with ThreadPoolExecutor(1) as pool, listening:
        ended = pool.submit(running.run, [listening])
        try:
            yield listening.getsockname()
        finally:
            running.should_exit = True
            ended.result(20)
