"""A stage as a process: one of its name at a time in a checkout, and none that outlives the DVC that started it."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from realwaste.core.errors import UserError

LOCKS = Path("data/.locks")
_SHELLS = {"sh", "bash", "dash", "zsh", "fish"}
_LOOK_EVERY_S = 0.5
ENDED_WITH_DVC = 75


@contextmanager
def alone(stage: str, wait_s: float = 30) -> Iterator[None]:
    """Hold the stage's lock, which the system frees whatever way this process ends.

    Raises:
        UserError: another process has held it for `wait_s` seconds. An orphan of a killed DVC ends within one.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCKS / f"{stage}.lock")
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise UserError(
            "One run of a stage may be at work in a checkout.",
            "Wait for it, or end it. Experiments side by side run with --queue or --temp.",
            stage,
        ) from None
    try:
        yield
    finally:
        lock.release()


def end_with_dvc() -> None:
    """Leave once the DVC that started this process is gone: killed, it leaves an orphan that goes on writing.

    It may be gone before this is called; the process then is a child of init, and leaves at once.
    """
    if "DVC_STAGE" not in os.environ:
        return
    watched = _starters()
    if not any(map(_may_be_dvc, watched)):
        os._exit(ENDED_WITH_DVC)
    threading.Thread(target=_watch, args=(watched,), daemon=True).start()


def is_quiet() -> bool:
    """Whether the DVC that started this process was told -q, which it hands on in no environment variable."""
    if "DVC_STAGE" not in os.environ:
        return False
    try:
        words = [word for starter in _starters() for word in starter.cmdline()[1:]]
    except psutil.Error:
        return False
    return not {"-q", "--quiet"}.isdisjoint(words)


def _starters() -> list[psutil.Process]:
    """DVC, and the shell between, where that has not made way for this process."""
    parents = psutil.Process().parents()
    return parents[:2] if parents and parents[0].name() in _SHELLS else parents[:1]


def _may_be_dvc(process: psutil.Process) -> bool:
    """A Python program, whoever calls DVC's own functions, or one named dvc; no init, and no shell that was left."""
    try:
        words = [Path(word).name for word in process.cmdline()]
    except psutil.Error:
        return False
    return any(word.startswith(("python", "dvc")) for word in words)


def _watch(watched: list[psutil.Process]) -> None:
    while all(_lives(process) for process in watched):
        time.sleep(_LOOK_EVERY_S)
    # No cleaning up: the next run takes over what lies there, and must not meet a writer.
    os._exit(ENDED_WITH_DVC)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
