"""A call that ends within a time, though what it waits for, a resolver or trickling header, cannot be interrupted."""

import threading
from collections.abc import Callable
from queue import Empty, Queue
from typing import Any

import requests


def within(seconds: float, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What `function` returns or raises; TimeoutError after `seconds`: its thread is left to itself.

    An HTTP response that comes later is closed.
    """
    answers: Queue[tuple[Any, Exception | None]] = Queue(1)
    given_up = threading.Event()

    def run() -> None:
        try:
            result, error = function(*arguments, **named), None
        except Exception as raised:  # handed to the one who waits
            result, error = None, raised
        if given_up.is_set() and isinstance(result, requests.Response):
            result.close()
        answers.put((result, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except Empty:
        given_up.set()
        raise TimeoutError from None
    if error is not None:
        raise error
    return result
