"""Photographs that are no files here: at an address, or on standard input. Each is brought to a file once."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.images.reader import MAX_BYTES, UnreadableImageError
from realwaste.core import time_limit

STANDARD_INPUT = "-"


class Remote:
    """A photograph, and the file that `bring` makes of it when it is first needed, whoever asks.

    Attributes:
        source: its address, or `-`.
    """

    def __init__(self, source: str, path: Path, fetch: Callable[[], bytes]) -> None:
        self.source, self._path, self._fetch = source, path, fetch
        self._lock, self._refused = threading.Lock(), ""
        self._coming: Future[bytes] = Future()

    def bring(self) -> None:
        """Write the file, unless it is there.

        Raises:
            UnreadableImageError: it did not come; the server is not asked a second time.
        """
        with self._lock:
            if self._path.exists():
                return
            if not self._refused:
                try:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._path.write_bytes(self._fetched())
                    return
                except UnreadableImageError as error:
                    self._refused = str(error)
                except CancelledError:
                    self._refused = "given up"
            raise UnreadableImageError(self._refused)

    def give_up(self) -> None:
        """Let whoever waits in `bring` go on at once: the run ends."""
        self._refused = self._refused or "given up"
        self._coming.cancel()

    def _fetched(self) -> bytes:
        self._coming = coming = time_limit.start(self._fetch)
        if self._refused:  # given up meanwhile
            coming.cancel()
        return coming.result()


def read_standard_input() -> bytes:
    """The photograph that a pipe or a file gives.

    Raises:
        UserError: standard input is a terminal.
    """
    if sys.stdin is None or sys.stdin.isatty():
        rule = "The argument `-` stands for a photograph on standard input, where there must be one."
        raise UserError(rule, "Give one: `realwaste predict - < photo.jpg`.")
    return sys.stdin.buffer.read(MAX_BYTES + 1)
