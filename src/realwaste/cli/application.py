"""What all commands have in common: start-up, error messages, and the check for optional packages."""

import errno
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from realwaste.core import environment, library_settings, log
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.terminal import escape_lines


def _without_flag_types(params: list[Any]) -> list[Any]:
    """Parameters whose help texts show no type beside a flag, where Typer writes `<bool>`."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class Command(TyperCommand):
    """One command."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, for the help text too."""
        return _without_flag_types(super().get_params(ctx))


class Commands(TyperGroup):
    """Prints user errors, and system errors such as a full disk, as two lines, with exit status 1."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters before a command, for the help text too."""
        return _without_flag_types(super().get_params(ctx))

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the arguments; error messages quote them without control characters."""
        with _escaped_message():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any) -> Any:
        """Run the command; error messages quote arguments without control characters."""
        with _escaped_message():
            return super().invoke(*args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the arguments, run the command, and exit with its status."""
        try:
            return super().main(*args, **kwargs)
        except Exception as error:
            user_error = error if isinstance(error, UserError) else environment.explain_error(error)
            if user_error is None and isinstance(error, OSError):
                user_error = _system_error(error)
            if user_error is None:
                raise
            log.setup()
            log.logger.error("%s", user_error)
            sys.exit(1)


@contextmanager
def _escaped_message() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Typer does not export the class of its errors; only they have both attributes.
        if hasattr(error, "format_message") and hasattr(error, "message"):
            error.message = escape_lines(str(error.message))
        raise


def _system_error(error: OSError) -> UserError:
    target = "the output" if error.filename is None else printable(str(error.filename))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        rule, remedy = f"There must be room to write {target}.", "Free disk space, or write elsewhere."
        return UserError(rule, remedy, error.strerror)
    rule = f"It must be possible to read or write {target}."
    return UserError(rule, "Change its permissions, or name another path.", error.strerror or str(error))


def create_app() -> typer.Typer:
    """The application, still without commands."""
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_start_up)
    return app


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version  # noqa: PLC0415 - 50 ms, which other commands do not need

        typer.echo(f"realwaste {version('realwaste')}")
        raise typer.Exit


def _start_up(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Use the models that the pipeline trained, from the shell or in a browser.

    Example: `realwaste predict photos/` predicts the class of each photo in a folder.
    """
    library_settings.silence_tensorflow()
    # TensorFlow warns of retracing when images come both one at a time and in batches.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    log.setup()


def require_packages(command: str, names: Iterable[str]) -> None:
    """Raise UserError if packages of the extra `serve`, named as they are imported, are not installed."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        rule = f"`realwaste {command}` needs packages that are not installed: {', '.join(missing)}."
        raise UserError(rule, "Run `make setup-dev`, or pip install '.[serve]', in the checkout.")
