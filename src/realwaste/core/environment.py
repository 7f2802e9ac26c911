"""What a process needs around it: standard streams, signals, a home folder, a user's name, its checkout, file locks."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from realwaste.core.errors import UserError

# Packages that not every command needs, as they are imported, and the extra of pyproject.toml that installs them.
_EXTRAS = {
    **dict.fromkeys(("pandas", "scipy"), "evaluate"),
    **dict.fromkeys(("altair", "dvc", "jinja2", "keras", "matplotlib", "sklearn", "tensorflow"), "train"),
    **dict.fromkeys(("threadpoolctl", "vl_convert"), "train"),
    **dict.fromkeys(("fsspec", "pyarrow"), "parquet"),
}
NO_LOCK_ERRNOS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def open_missing_streams() -> None:
    """Open standard streams that the shell closed (`>&-`) on the null device, before any other file is opened.

    Otherwise the next opened file gets the number of the missing stream, and receives what libraries write to it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if number and getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - a descriptor


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """While the block runs, SIGTERM raises KeyboardInterrupt, as Ctrl-C does. Only for the main thread.

    A background process of a script may have to ignore Ctrl-C; `kill`, Docker and systemd send SIGTERM.
    """
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def explain_error(error: BaseException) -> UserError | None:
    """The user's error if the environment caused an exception of Python, DVC or another library; else None."""
    text = str(error)
    user = f"user id {os.getuid()}" if hasattr(os, "getuid") else "this user"
    if isinstance(error, RuntimeError) and "home directory" in text:
        rule = "There must be a home folder, for caches and settings."
        return UserError(rule, "Set the variable HOME to a folder that you may write to.", f"{user} without one")
    if isinstance(error, (KeyError, OSError)) and ("uid not found" in text or "No username set" in text):
        return UserError("The user must have a name.", "Set the variable USER to one; any will do.", user)
    if "not owned by current user" in text or "dubious ownership" in text:
        rule = "The checkout must belong to the user who runs this: git refuses those of others."
        remedy = 'Run as its owner, or allow it: git config --global --add safe.directory "$PWD"'
        return UserError(rule, remedy, f"{user}, and {text[:150]}")
    if isinstance(error, OSError) and error.errno == errno.ENOLCK:
        return missing_locks_error(error)
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get(error.name or "")):
        rule = f"This needs the package {error.name}, which is not installed."
        return UserError(rule, f"Run `make setup`, or pip install '.[{extra}]', in the checkout.")
    return None


def missing_locks_error(error: OSError) -> UserError:
    """The user's error for a file system that refused to lock a file."""
    rule = "The file system must have file locks (flock), which keep parallel runs apart."
    remedy = "Mount it with them (NFS without nolock, Lustre with flock), or use a checkout or a cache on another disk."
    return UserError(rule, remedy, error.strerror)
