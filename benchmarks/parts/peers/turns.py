"""Several processes that run variants of one job in turn, so that a slow phase of the machine affects all of them."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.parts.child import ROOT, environment

LIMIT_SECONDS = 1200.0
"""For a process to build its variants, compilation included, and for one run."""


def run_in_turn(
    tasks: Mapping[str, tuple[Path, str]], arguments: Mapping[str, Any], rounds: int
) -> dict[str, dict[str, Any]]:
    """For each variant of each task its `seconds`, one per round, or the reason why it was `not_run`.

    Args:
        tasks: the interpreter and "module.function" of each task, see benchmarks.parts.peers.loop. If a process fails
            before it has named its variants, the name of its task has the reason.
    """
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        processes: dict[str, _Process] = {}
        for task_name, (python, task) in tasks.items():
            process = _Process(stack, python, task, json.dumps(arguments))
            errors = process.read_line()
            for name, error in (json.loads(errors) if errors else {task_name: process.failure_reason()}).items():
                results[name] = {"not_run": error} if error else {"seconds": []}
                processes[name] = process
        for _ in range(rounds):
            for name, process in processes.items():
                if "seconds" in results[name]:
                    seconds = process.run(name)
                    if seconds:
                        results[name]["seconds"].append(float(seconds))
                    else:
                        results[name] = {"not_run": process.failure_reason()}
    return results


class _Process:
    def __init__(self, stack: ExitStack, python: Path, *arguments: str) -> None:
        self.errors = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        pipe = subprocess.PIPE
        self.process = stack.enter_context(
            subprocess.Popen(  # noqa: S603
                [str(python), "-m", "benchmarks.parts.peers.loop", *arguments],
                stdin=pipe,
                stdout=pipe,
                stderr=self.errors,
                cwd=ROOT,
                env=environment(),
            )
        )
        stack.callback(self.process.kill)
        self.handle = psutil.Process(self.process.pid)
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101, PT018 - pipes
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout

    def run(self, variant: str) -> bytes:
        """Seconds of one run; empty if the process has ended."""
        try:
            self.handle.resume()
            os.write(self.stdin, f"{variant}\n".encode())
        except (OSError, psutil.NoSuchProcess):
            return b""
        return self.read_line()

    def read_line(self) -> bytes:
        """The next line, empty if the process has ended. Then the process is suspended, lest its threads spin."""
        timer = threading.Timer(LIMIT_SECONDS, self.process.kill)
        timer.start()
        line = self.stdout.readline()
        timer.cancel()
        if line:
            self.handle.suspend()
        return line

    def failure_reason(self) -> str:
        """The last line of standard error, usually that of an exception."""
        self.process.wait()
        if self.process.returncode < 0:
            return f"ended by signal {-self.process.returncode}"
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"
