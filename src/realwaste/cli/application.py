"""What every command has in common: how it starts, and what becomes of a mistake."""

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from realwaste.core import environment, library_settings, log
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.terminal import escape_lines


class Commands(TyperGroup):
    """A mistake is two lines and status 1, and so is a disk that is full, at --help too."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """As of its parent; the message of an error, which quotes arguments, steers no terminal."""
        with _safe_message():
            return super().make_context(*arguments, **named)

    def invoke(self, *arguments: Any) -> Any:
        """Likewise."""
        with _safe_message():
            return super().invoke(*arguments)

    def main(self, *arguments: Any, **named: Any) -> Any:
        """Run the command that the arguments name, and end the process with its status."""
        try:
            return super().main(*arguments, **named)
        except Exception as error:
            mistake = error if isinstance(error, UserError) else environment.explain_error(error) or _refused(error)
            if mistake is None:
                raise
            log.setup()
            log.logger.error("%s", mistake)
            sys.exit(1)


@contextmanager
def _safe_message() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Typer has no public name for the class of its errors, which alone have both.
        if hasattr(error, "format_message") and hasattr(error, "message"):
            error.message = escape_lines(str(error.message))
        raise


def _refused(error: Exception) -> UserError | None:
    """What the machine has no room for or does not allow; a file that is written to without a name is an output."""
    if not isinstance(error, OSError):
        return None
    place = "the output" if error.filename is None else printable(str(error.filename))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UserError(f"There must be room to write {place}.", "Free some, or send it elsewhere.", error.strerror)
    rule = f"It must be possible to read or write {place}."
    return UserError(rule, "Allow it, or name another place.", error.strerror or str(error))


def new() -> typer.Typer:
    """The application, before it has a command."""
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_start)
    return app


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - a twentieth of a second, for this alone

        typer.echo(f"realwaste {version('realwaste')}")
        raise typer.Exit


def _start(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Use the models that the pipeline trained: from the shell, or from a browser.

    Example: `realwaste predict photos/` says what is in each photograph of a folder.
    """
    library_settings.silence_tensorflow()
    # It warns of retracing when pictures come one at a time and in batches.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    log.setup()
