"""A call that can be given up, though what it waits for, a resolver or a trickling server, cannot be interrupted."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any


def start(function: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
    """What `function` will return or raise, in a thread that keeps no process alive.

    `cancel` gives it up: who waits goes on at once, the thread is left to itself, and a result that comes later is
    closed, where it can be (an HTTP response).
    """
    future: Future[Any] = Future()

    def run() -> None:
        try:
            result, error = function(*arguments, **named), None
        except Exception as raised:  # handed to the one who waits
            result, error = None, raised
        try:
            future.set_exception(error) if error else future.set_result(result)
        except InvalidStateError:
            getattr(result, "close", lambda: None)()

    threading.Thread(target=run, daemon=True).start()
    return future


def within(seconds: float, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What `function` returns or raises; TimeoutError after `seconds`, as of `start` given up."""
    future = start(function, *arguments, **named)
    try:
        return future.result(seconds)
    finally:
        future.cancel()
