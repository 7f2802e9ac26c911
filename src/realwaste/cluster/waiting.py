"""Waiting for results of a Ray cluster with a timeout: Ray itself waits forever for a free core."""

import os
import queue
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from realwaste.core.errors import UserError
from realwaste.core.time_limit import call_in_thread

Item = TypeVar("Item")

TIMEOUT_VARIABLE = "REALWASTE_RAY_PATIENCE"
DEFAULT_TIMEOUT_S = 1800.0


def timeout_s() -> float:
    """How many seconds to wait for the next result: REALWASTE_RAY_PATIENCE, or half an hour by default."""
    text = os.environ.get(TIMEOUT_VARIABLE) or str(DEFAULT_TIMEOUT_S)
    try:
        return float(text)
    except ValueError:
        rule = f"{TIMEOUT_VARIABLE} must be a number of seconds."
        raise UserError(rule, f"Set it, or unset it for {DEFAULT_TIMEOUT_S:g}.", text) from None


def with_timeout(results: Iterable[Item], kind: str) -> Iterator[Item]:
    """The same results, as soon as they are ready; errors as in `stream_results`."""

    def produce(put: Callable[[Item], None]) -> None:
        for result in results:
            put(result)

    return stream_results(produce, kind)


def stream_results(produce: Callable[[Callable[[Item], None]], None], kind: str) -> Iterator[Item]:
    """The results of `produce`, as soon as they are ready.

    Args:
        produce: runs in a thread, and calls its argument with each result.
        kind: of the results, in the plural, for the error message: "vectors".

    Raises:
        UserError: no result for timeout_s() seconds. Exceptions of `produce` are raised too.
    """
    limit = timeout_s()
    messages: queue.Queue[tuple[str, Any]] = queue.Queue()
    producing = call_in_thread(produce, lambda result: messages.put(("result", result)))
    producing.add_done_callback(lambda future: messages.put(("end", future)))
    while True:
        try:
            message, value = messages.get(timeout=limit)
        except queue.Empty:
            rule = f"A Ray cluster must deliver {kind}: none came for {limit:g} s."
            remedy = "`ray status` shows what it waits for, for example a free core or a lost node. "
            remedy += f"{TIMEOUT_VARIABLE} sets the seconds. Then run again: finished work is not repeated."
            raise UserError(rule, remedy) from None
        if message == "end":
            value.result()  # raises the exception of `produce`
            return
        yield value
