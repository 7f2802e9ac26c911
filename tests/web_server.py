"""The servers of `realwaste serve` and `realwaste review`: in a thread of the test process, or as the command."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import uvicorn
from starlette.types import ASGIApp

from benchmarks.parts.child import ROOT
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


@contextmanager
def command_serving(
    folder: Path, *arguments: str, python_path: str = str(ROOT / "src"), **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a command of `realwaste` that serves. Yields process and URL; its output is in folder/log and folder/out."""
    environment = os.environ | {"PYTHONPATH": python_path} | variables
    command = [sys.executable, "-m", "realwaste", *arguments, "--port", "0"]
    with (
        (folder / "log").open("w") as log,
        (folder / "out").open("w") as out,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=log) as process,
    ):
        try:
            for _ in range(600):
                if url := re.search(r"http://127\.0\.0\.1:\d+/", (folder / "log").read_text()):
                    break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            assert url is not None, (folder / "log").read_text()
            yield process, url.group()
        finally:
            process.kill()


def send_request(method: str, url: str, data: bytes | None = None) -> urllib3.BaseHTTPResponse:
    """The response, whatever its status, over a connection of its own."""
    return urllib3.request(method, url, body=data, headers={"connection": "close"}, retries=False, timeout=20)


def request_json(url: str, data: bytes | None = None) -> tuple[int, Any]:
    """Status and JSON of the response to a GET request, or with `data` to a POST request."""
    response = send_request("GET" if data is None else "POST", url, data)
    return response.status, response.json()
