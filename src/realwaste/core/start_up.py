"""TensorFlow's import without the notes that it writes while it starts."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = "3"
# TF_CPP_MIN_LOG_LEVEL, which should hide these, is read after TensorFlow 2.21 has written the first of them
# (tensorflow issue 100442).
_NOTE = re.compile(rb"WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} \d\d:\d\d:")


def quiet() -> None:
    """Ask TensorFlow for silence, before it is imported; whoever has set TF_CPP_MIN_LOG_LEVEL keeps that."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)


def open_missing_streams() -> None:
    """Lead standard streams that the shell closed (`>&-`) to the null device, before any other file is opened.

    The next file would take the missing stream's number, and whatever a library writes to that stream.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if number and getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - a descriptor


@contextmanager
def without_notes() -> Iterator[None]:
    """Import TensorFlow inside this block: its own lines are dropped, and what others write to standard error stays."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != QUIET or sys.stderr is None:
        yield
        return
    # They come from C++, which knows file descriptors and not sys.stderr.
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not _NOTE.match(line)))
