"""The server of `realwaste serve` and `realwaste review`, in a thread of the test process."""

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
    """Serve an application in a thread. Yields its host and port."""
    server_socket = address.bind_socket("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn_config(app, limits))
    with ThreadPoolExecutor(1) as pool, server_socket:
        server_run = pool.submit(server.run, [server_socket])
        try:
            yield server_socket.getsockname()
        finally:
            server.should_exit = True
            server_run.result(20)
