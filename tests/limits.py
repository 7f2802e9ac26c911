"""A limit on every wait of a test, whatever it waits for: a line, a process, a thread."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

DEFAULT_S, SLOW_S = 1200, 4 * 3600
_AGAIN_S = 30  # for code that waits once more while the first failure passes through it


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Fail the test if the block takes longer, and end every process that it started, for which it may wait."""

    def stop(*_: object) -> None:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        pytest.fail(f"A test must end: this one was at work for {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, stop)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, handler)


def seconds_for(item: pytest.Item) -> int:
    """How long the test, its fixtures and their ends may take each: far longer than on a slow machine at work."""
    return SLOW_S if {"slow", "release"} & {mark.name for mark in item.iter_markers()} else DEFAULT_S
