"""Time limits for calls that cannot be interrupted, such as a DNS lookup or a read from a trickling server."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any


def call_in_thread(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Future[Any]:
    """Call `function` in a daemon thread and return a Future of its result or exception.

    After `Future.cancel` nobody waits for the thread any longer. A result that arrives later is closed if it has a
    method `close`, as an HTTP response has.
    """
    future: Future[Any] = Future()

    def run() -> None:
        try:
            result, error = function(*arguments, **keywords), None
        except Exception as raised:  # passed on to the caller through the future
            result, error = None, raised
        try:
            future.set_exception(error) if error else future.set_result(result)
        except InvalidStateError:
            getattr(result, "close", lambda: None)()

    threading.Thread(target=run, daemon=True).start()
    return future


def call_within(seconds: float, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Return what `function` returns, or raise what it raises; raise TimeoutError after `seconds`."""
    future = call_in_thread(function, *arguments, **keywords)
    try:
        return future.result(seconds)
    finally:
        future.cancel()
