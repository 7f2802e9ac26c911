"""Photographs at an address or on standard input; each is written to a file once, when it is first needed."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path

from realwaste.core import time_limit
from realwaste.core.errors import UserError
from realwaste.images.reader import MAX_BYTES, UnreadableImageError

STANDARD_INPUT = "-"


class RemoteImage:
    """A photograph that `ensure_file` writes to `path` from its source, an address or `-`; safe in several threads."""

    def __init__(self, source: str, path: Path, fetch: Callable[[], bytes]) -> None:
        self.source, self._path, self._fetch = source, path, fetch
        self._lock, self._error = threading.Lock(), ""
        self._download: Future[bytes] = Future()

    def ensure_file(self) -> None:
        """Write the file unless it exists.

        Raises:
            UnreadableImageError: the download failed, now or in an earlier call; it is not tried again.
        """
        with self._lock:
            if self._path.exists():
                return
            if not self._error:
                try:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._path.write_bytes(self._fetch_with_limit())
                    return
                except UnreadableImageError as error:
                    self._error = str(error)
                except CancelledError:
                    self._error = "cancelled"
            raise UnreadableImageError(self._error)

    def cancel(self) -> None:
        """Make waiting calls of `ensure_file` fail at once, because the run ends."""
        self._error = self._error or "cancelled"
        self._download.cancel()

    def _fetch_with_limit(self) -> bytes:
        self._download = download = time_limit.call_in_thread(self._fetch)
        if self._error:  # cancelled meanwhile
            download.cancel()
        return download.result()


def read_standard_input() -> bytes:
    """Read a photograph from standard input.

    Raises:
        UserError: standard input is a terminal.
    """
    if sys.stdin is None or sys.stdin.isatty():
        rule = "The argument `-` means a photograph on standard input, which must not be a terminal."
        raise UserError(rule, "Give one: `realwaste predict - < photo.jpg`.")
    return sys.stdin.buffer.read(MAX_BYTES + 1)
