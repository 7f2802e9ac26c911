"""Several processes, each with ways to do one job, that do it in turn: what slows the machine down slows them all."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.parts.child import ROOT

LIMIT = 1200.0
"""Seconds that a process may take to build its ways, compilers included, and for one run."""


@dataclass(frozen=True)
class Side:
    """What one process runs: `job` as of benchmarks.parts.peers.loop, by this interpreter.

    Attributes:
        name: its row, where none of its ways can be told.
    """

    name: str
    python: Path
    job: str


def in_turn(sides: Sequence[Side], arguments: Mapping[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    """For each way of each side its `seconds`, one number a round, or why it was `not_run`."""
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        running: list[tuple[str, _Process]] = []
        for side in sides:
            process = _Process(stack, side, arguments)
            for name, why in process.built().items():
                found[name] = {"seconds": []} if why is None else {"not_run": why}
                running += [(name, process)] if why is None else []
        for _ in range(rounds):
            for name, process in running:
                if "seconds" in found[name]:
                    seconds = process.seconds(name)
                    if seconds is None:
                        found[name] = {"not_run": process.last_words()}
                    else:
                        found[name]["seconds"].append(seconds)
    return found


class _Process:
    def __init__(self, stack: ExitStack, side: Side, arguments: Mapping[str, Any]) -> None:
        self.name = side.name
        self.errors: IO[str] = stack.enter_context(
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - the stack closes it
        )
        command = [str(side.python), "-m", "benchmarks.parts.peers.loop", side.job, json.dumps(arguments)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "TF_CPP_MIN_LOG_LEVEL": "3"}
        pipe = subprocess.PIPE
        self.process = stack.enter_context(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors, cwd=ROOT, env=environment)  # noqa: S603
        )
        stack.callback(self.process.kill)
        self.handle = psutil.Process(self.process.pid)
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101, PT018 - pipes
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout

    def built(self) -> dict[str, str | None]:
        """Why each way does not run, if it does not; of a process that ended, that its side does not."""
        line = self._answer()
        return json.loads(line) if line else {self.name: self.last_words()}

    def seconds(self, way: str) -> float | None:
        """Of one run; None if the process has ended."""
        try:
            self.handle.resume()
            os.write(self.stdin, f"{way}\n".encode())
        except (OSError, psutil.NoSuchProcess):
            return None
        line = self._answer()
        return float(line) if line else None

    def last_words(self) -> str:
        """The last line of what it said on standard error, as a rule that of an exception."""
        self.process.wait()
        if self.process.returncode < 0:
            return f"ended by signal {-self.process.returncode}"
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"

    def _answer(self) -> bytes:
        """The next line; nothing if the process has ended. Then it sleeps, so that no thread of it awaits work."""
        timer = threading.Timer(LIMIT, self.process.kill)
        timer.start()
        line = self.stdout.readline()
        timer.cancel()
        if line:
            self.handle.suspend()
        return line
