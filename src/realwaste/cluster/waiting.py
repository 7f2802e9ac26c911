"""Waiting for results of a Ray cluster, but not for ever: Ray itself does, where its tasks find no free core."""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from realwaste.core.errors import UserError

Item = TypeVar("Item")

TIMEOUT_VARIABLE = "REALWASTE_RAY_PATIENCE"
DEFAULT_TIMEOUT_S = 1800.0


def timeout_s() -> float:
    """How many seconds without a result to wait: REALWASTE_RAY_PATIENCE, or half an hour where that is not set."""
    text = os.environ.get(TIMEOUT_VARIABLE) or str(DEFAULT_TIMEOUT_S)
    try:
        return float(text)
    except ValueError:
        raise UserError(
            f"{TIMEOUT_VARIABLE} must be a number of seconds.", f"Set it, or unset it for {DEFAULT_TIMEOUT_S:g}.", text
        ) from None


def with_timeout(results: Iterable[Item], what: str, timeout: float | None = None) -> Iterator[Item]:
    """The same results, as they come; errors as of `stream_results`."""

    def work(tell: Callable[[Item], None]) -> None:
        for result in results:
            tell(result)

    return stream_results(work, what, timeout)


def stream_results(
    work: Callable[[Callable[[Item], None]], None], what: str, timeout: float | None = None
) -> Iterator[Item]:
    """The results of `work`, as they come.

    Args:
        work: runs in a thread of its own, and calls the function that it is given with each result.
        what: in plural, for the error: "vectors".
        timeout: seconds, timeout_s() without it.

    Raises:
        UserError: nothing came for that long. Whatever `work` raises comes through.
    """
    limit = timeout_s() if timeout is None else timeout
    coming: queue.Queue[tuple[str, Any]] = queue.Queue()

    def run() -> None:
        try:
            work(lambda result: coming.put(("result", result)))
        except BaseException as error:
            coming.put(("error", error))
        else:
            coming.put(("end", None))

    threading.Thread(target=run, name=f"watch {what}", daemon=True).start()
    while True:
        try:
            kind, value = coming.get(timeout=limit)
        except queue.Empty:
            raise UserError(
                f"A Ray cluster must deliver {what}: none came for {limit:g} s.",
                f"`ray status` says what it waits for: a core that is free, a node that is gone. {TIMEOUT_VARIABLE} sets the "
                "seconds. Then run again; what was finished is kept.",
            ) from None
        if kind == "result":
            yield value
        elif kind == "error":
            raise value
        else:
            return
