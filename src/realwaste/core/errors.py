"""Errors for users: which rule was broken, how to fix it, and what was received."""

from collections.abc import Iterable

from realwaste.core.terminal import escape

_MAX_EXAMPLES = 5


class UserError(Exception):
    """An error that the user can fix; shown without a traceback, with exit status 1.

    The message has two lines, whatever names it contains: the rule with what was received, and the remedy.

    Args:
        rule: what must hold, as a sentence that names the file, parameter or class.
        remedy: what to do, as a sentence.
        received: the offending value, if it helps; shown by its repr, cut to 200 characters.
    """

    def __init__(self, rule: str, remedy: str, received: object = None) -> None:
        self.rule = rule
        self.remedy = remedy
        self.received = received
        super().__init__(rule, remedy, received)

    def __str__(self) -> str:
        rule, remedy = escape(self.rule), escape(self.remedy)
        if self.received is None:
            return f"{rule}\n{remedy}"
        received = repr(self.received)
        if len(received) > 200:
            received = received[:197] + "…"
        return f"{rule} Received: {received}.\n{remedy}"


class DivergedError(UserError):
    """A loss or weight became NaN or infinite, and there is no usable result."""


class UnreachableError(UserError):
    """No server answered, so the network is missing. A server that answers with an error is reachable."""


def first_line(error: Exception) -> str:
    """The first line of a library's error message, or the name of its class if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def list_examples(items: Iterable[str], separator: str = ", ") -> str:
    """The first _MAX_EXAMPLES items, and how many more there are."""
    texts = list(items)
    more = f"{separator}and {len(texts) - _MAX_EXAMPLES} more" if len(texts) > _MAX_EXAMPLES else ""
    return separator.join(texts[:_MAX_EXAMPLES]) + more
