"""Time limits, so that no test waits without end for a line of output, a process or a thread."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

DEFAULT_S, SLOW_S = 1200, 4 * 3600
_REPEAT_S = 30  # the signal repeats, for code that waits again while it handles the first failure


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Fail the test if the block takes longer, and kill its child processes, for which it may be waiting."""

    def fail_test(*_: object) -> None:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        pytest.fail(f"A test must end: this one was at work for {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, fail_test)
    outer_timer = signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer_timer)
        signal.signal(signal.SIGALRM, handler)


def seconds_for(item: pytest.Item) -> int:
    """The limit for the setup, the call and the teardown of a test, generous enough for a slow and busy machine."""
    return SLOW_S if {"slow", "release"} & {mark.name for mark in item.iter_markers()} else DEFAULT_S
