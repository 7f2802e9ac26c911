"""The process of a stage: only one for each stage in a checkout, and none outlives the DVC that started it."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psutil
from filelock import FileLock, Timeout

from realwaste.core import environment
from realwaste.core.errors import UserError

LOCKS = Path("data/.locks")
_POLL_INTERVAL_S = 0.5
ENDED_WITH_DVC = 75
_RUNNING = ".running"


@contextmanager
def hold_stage_lock(stage: str, wait_s: float = 30) -> Iterator[bool]:
    """Hold the stage's lock. The operating system releases it however this process ends.

    Yields:
        Whether the previous run was killed, as happens when memory is short: its marker is still there.

    Raises:
        UserError: another process has held it for `wait_s` seconds (a stage of a killed DVC ends within one second); or
            the file system has no locks.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock, marker = FileLock(LOCKS / f"{stage}.lock"), LOCKS / f"{stage}.{os.getpid()}{_RUNNING}"
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise UserError(
            "Only one run of a stage may be active in a checkout.",
            "Wait for it, or stop it. Run experiments in parallel with --queue or --temp.",
            stage,
        ) from None
    except OSError as error:
        if error.errno in environment.NO_LOCK_ERRNOS:
            raise environment.missing_locks_error(error) from None
        raise
    old_markers = list(LOCKS.glob(f"{stage}.*{_RUNNING}"))
    for old_marker in old_markers:
        old_marker.unlink()
    marker.touch()
    try:
        yield bool(old_markers)
    finally:
        marker.unlink(missing_ok=True)
        lock.release()


def _exit_immediately() -> NoReturn:
    """End at once: the next run continues with these files, and nothing else may write to them."""
    for marker in LOCKS.glob(f"*.{os.getpid()}{_RUNNING}"):
        marker.unlink(missing_ok=True)
    os._exit(ENDED_WITH_DVC)


def end_with_dvc() -> None:
    """Leave once the DVC that started this process is gone: killed, it leaves an orphan that goes on writing.

    Raises:
        UserError: DVC has gone already, or something else started this process for it, as srun does.
    """
    if "DVC_STAGE" not in os.environ:
        return
    if not (watched := _ancestors_up_to_dvc()):
        raise UserError(
            "DVC must be among the processes that started the stage, which ends when DVC is killed.",
            "Where a batch system starts it for DVC, let cmd in dvc.yaml be: srun env -u DVC_STAGE python -m stages …",
            [process.name() for process in psutil.Process().parents()],
        )
    threading.Thread(target=_watch, args=(watched,), daemon=True).start()


def is_quiet() -> bool:
    """Whether the DVC that started this process was told -q, which it hands on in no environment variable."""
    if "DVC_STAGE" not in os.environ:
        return False
    return any({"-q", "--quiet"} & set(_command_words(dvc)) for dvc in _ancestors_up_to_dvc()[-1:])


def _ancestors_up_to_dvc() -> list[psutil.Process]:
    """The processes from the one that started this up to DVC: shells and wrappers (timeout, …); empty without DVC.

    Without a process `dvc`, a Python process counts as DVC: it calls DVC's own functions.
    """
    parents = psutil.Process().parents()
    commands = [_command_words(process) for process in parents]
    is_dvc = ["dvc" in words for words in commands]
    if not any(is_dvc):
        is_dvc = [any(word.startswith("python") for word in words[:1]) for words in commands]
    return parents[: is_dvc.index(True) + 1] if any(is_dvc) else []


def _command_words(process: psutil.Process) -> list[str]:
    try:
        return [Path(word).name.removesuffix(".exe") for word in process.cmdline()]
    except psutil.Error:
        return []


def _watch(watched: list[psutil.Process]) -> None:
    while all(_is_alive(process) for process in watched):
        time.sleep(_POLL_INTERVAL_S)
    _exit_immediately()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
