"""A partial download on disk, and a watch on the server's rate that ends a stalled download."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
import urllib3

MIN_BYTES = 1 << 10


class PartialDownload:
    """The bytes of an incomplete download in `path`, and the ETag of their version in `<path>.etag`."""

    def __init__(self, path: Path) -> None:
        self.path, self.etag = path, path.with_name(f"{path.name}.etag")

    def size(self) -> int:
        """The number of bytes on disk; 0 without a file."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> str:
        """The ETag of the bytes on disk; "" without a strong ETag (RFC 9110, 13.1.5)."""
        if not self.etag.is_file():
            return ""
        etag = self.etag.read_text(encoding="utf-8", errors="replace")
        return etag if etag.startswith('"') and etag.isascii() and etag.isprintable() else ""

    def begin(self, etag: str) -> None:
        """Start over with the version `etag`. Old bytes are removed first, so that a kill cannot pair them with it."""
        self.path.write_bytes(b"")
        self.etag.write_text(etag, encoding="utf-8")

    def discard(self) -> None:
        """Remove both files."""
        self.path.unlink(missing_ok=True)
        self.etag.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Move the complete file to `target`."""
        self.etag.unlink(missing_ok=True)
        self.path.replace(target)


class StalledError(Exception):
    """The server sent too few bytes."""


@contextmanager
def watch_rate(response: requests.Response, size: Callable[[], int], stall: float) -> Iterator[threading.Event]:
    """Close the connection and set the yielded event if fewer than MIN_BYTES arrive within `stall` seconds.

    A second thread watches, because chunk headers and trailers may trickle forever without a byte of the file.

    Args:
        size: returns the number of bytes received so far.

    Raises:
        StalledError: at the end of the block, if the download stalled.
    """
    ended, stalled = threading.Event(), threading.Event()

    def watch() -> None:
        before = size()
        while not ended.wait(stall):
            if size() - before < MIN_BYTES:
                stalled.set()  # before the shutdown: what a TLS connection returns afterwards is not part of the file
                with suppress(OSError, RuntimeError, ValueError):  # already closed
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
        raise StalledError(f"fewer than {MIN_BYTES} bytes in {stall:g} s")
