"""The package's logger: plain lines on standard error, and a framed banner for what nobody may overlook."""

import logging

from rich.logging import RichHandler
from rich.panel import Panel
from rich.text import Text

from realwaste.core.terminal import SafeConsole, escape_lines

_terminal = SafeConsole(stderr=True)
# DVC and log files have no width; Rich would then wrap every line at 80 characters.
console = _terminal if _terminal.is_terminal else SafeConsole(stderr=True, width=160)
logger = logging.getLogger("realwaste")


class _SafeFormatter(logging.Formatter):
    """Escapes control characters before Rich, which silently drops some of them."""

    def format(self, record: logging.LogRecord) -> str:
        return escape_lines(super().format(record))


def setup(level: int = logging.INFO) -> None:
    """Send the package's log lines to standard error."""
    handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", omit_repeated_times=False)
    handler.setFormatter(_SafeFormatter())
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def is_quiet() -> bool:
    """Whether the log level hides INFO lines; progress bars, which are not log lines, should then be hidden too."""
    return logger.level > logging.INFO


def banner(title: str, *lines: str, color: str = "yellow") -> None:
    """Print a frame around the lines on standard error; yellow for a warning."""
    text = Text(escape_lines("\n".join(lines)), no_wrap=False)
    console.print(Panel(text, title=f"[bold]{title}[/bold]", border_style=color, expand=False))
