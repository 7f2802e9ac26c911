"""The error a person sees: which rule was broken, how to mend it, and what was received."""

from realwaste.core.terminal import escaped


class UserError(Exception):
    """A mistake that the person at the keyboard can mend; shown without a traceback, exit status 1.

    Args:
        rule: what must hold, as a sentence, naming the thing (file, parameter, class).
        remedy: what to do, as a sentence.
        received: what was found instead, when it helps; shown by its repr, cut to one line.

    In the message rule and remedy are a line each, whatever names they contain.
    """

    def __init__(self, rule: str, remedy: str, received: object = None) -> None:
        self.rule = rule
        self.remedy = remedy
        self.received = received
        super().__init__(rule, remedy, received)

    def __str__(self) -> str:
        rule, remedy = escaped(self.rule), escaped(self.remedy)
        if self.received is None:
            return f"{rule}\n{remedy}"
        shown = repr(self.received)
        if len(shown) > 200:
            shown = shown[:197] + "…"
        return f"{rule} Received: {shown}.\n{remedy}"


class DivergedError(UserError):
    """A loss or weight stopped being a finite number and no usable result is left."""


class UnreachableError(UserError):
    """No server answered: the network is not there. A server that answers, however wrongly, is reachable."""


def first_line(error: Exception) -> str:
    """What a library's error says, without the pages that follow; its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
