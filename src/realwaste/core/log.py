"""One logger for people: plain lines on standard error, and a banner for what nobody may miss."""

import logging

from rich.logging import RichHandler
from rich.panel import Panel
from rich.text import Text

from realwaste.core.terminal import SafeConsole, escaped_lines

_terminal = SafeConsole(stderr=True)
# DVC and log files have no width; without one Rich would cut every line at 80.
console = _terminal if _terminal.is_terminal else SafeConsole(stderr=True, width=160)
logger = logging.getLogger("realwaste")


class _SafeFormatter(logging.Formatter):
    """Before Rich, which drops some of the control characters without a trace."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped_lines(super().format(record))


def setup(level: int = logging.INFO) -> None:
    """Send the package's log lines to standard error."""
    handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", omit_repeated_times=False)
    handler.setFormatter(_SafeFormatter())
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def is_quiet() -> bool:
    """Whether progress bars, which are no log lines, should be left out too."""
    return logger.level > logging.INFO


def banner(title: str, *lines: str) -> None:
    """A framed warning: what was used in place of what was asked for, why, and how to get the real thing."""
    text = Text(escaped_lines("\n".join(lines)), no_wrap=False)
    console.print(Panel(text, title=f"[bold]{title}[/bold]", border_style="yellow", expand=False))
