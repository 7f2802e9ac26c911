"""The least rate of a download: a server that sends next to nothing is given up, however it does that."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import requests
import urllib3

LEAST_BYTES = 1 << 10


class StalledError(Exception):
    """Too little came."""


@contextmanager
def watched(response: requests.Response, size: Callable[[], int], stall: float) -> Iterator[threading.Event]:
    """Shut the connection down, and set the event, where fewer than LEAST_BYTES come within `stall` seconds.

    From another thread: the heads of chunks and trailers may trickle for ever without one byte of the file.

    Args:
        size: the bytes that have come.

    Raises:
        StalledError: at the end of the block.
    """
    ended, stalled = threading.Event(), threading.Event()

    def watch() -> None:
        before = size()
        while not ended.wait(stall):
            if size() - before < LEAST_BYTES:
                stalled.set()  # first: what a TLS connection gives afterwards is no part of the file
                with suppress(OSError, RuntimeError, ValueError):  # closed meanwhile
                    response.raw.shutdown()
                return
            before = size()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield stalled
    except (requests.RequestException, urllib3.exceptions.HTTPError):
        if not stalled.is_set():
            raise
    finally:
        ended.set()
        watching.join()
    if stalled.is_set():
        raise StalledError(f"fewer than {LEAST_BYTES} bytes in {stall:g} s")
