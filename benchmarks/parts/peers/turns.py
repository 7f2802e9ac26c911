"""Several processes that run variants of one job in turn, so that a slow phase of the machine affects all of them."""

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

LIMIT_SECONDS = 1200.0
"""For a process to build its variants, compilation included, and for one run."""


@dataclass(frozen=True)
class ProcessSpec:
    """What one process runs.

    Attributes:
        name: the row of its error, if it fails before it has named its variants.
        python: the interpreter.
        job: "module.function", see benchmarks.parts.peers.loop.
    """

    name: str
    python: Path
    job: str


def run_in_turn(specs: Sequence[ProcessSpec], arguments: Mapping[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    """For each variant of each process its `seconds`, one per round, or the reason why it was `not_run`."""
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        variants: list[tuple[str, _Process]] = []
        for spec in specs:
            process = _Process(stack, spec, arguments)
            for name, error in process.build_errors().items():
                results[name] = {"seconds": []} if error is None else {"not_run": error}
                variants += [(name, process)] if error is None else []
        for _ in range(rounds):
            for name, process in variants:
                if "seconds" in results[name]:
                    seconds = process.seconds(name)
                    if seconds is None:
                        results[name] = {"not_run": process.failure_reason()}
                    else:
                        results[name]["seconds"].append(seconds)
    return results


class _Process:
    def __init__(self, stack: ExitStack, spec: ProcessSpec, arguments: Mapping[str, Any]) -> None:
        self.name = spec.name
        self.errors: IO[str] = stack.enter_context(
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - the stack closes it
        )
        command = [str(spec.python), "-m", "benchmarks.parts.peers.loop", spec.job, json.dumps(arguments)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "TF_CPP_MIN_LOG_LEVEL": "3"}
        pipe = subprocess.PIPE
        self.process = stack.enter_context(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors, cwd=ROOT, env=environment)  # noqa: S603
        )
        stack.callback(self.process.kill)
        self.handle = psutil.Process(self.process.pid)
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101, PT018 - pipes
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout

    def build_errors(self) -> dict[str, str | None]:
        """The error of each variant, or None; of a process that ended, its own error under its name."""
        line = self._read_line()
        return json.loads(line) if line else {self.name: self.failure_reason()}

    def seconds(self, variant: str) -> float | None:
        """Seconds of one run; None if the process has ended."""
        try:
            self.handle.resume()
            os.write(self.stdin, f"{variant}\n".encode())
        except (OSError, psutil.NoSuchProcess):
            return None
        line = self._read_line()
        return float(line) if line else None

    def failure_reason(self) -> str:
        """The last line of standard error, usually that of an exception."""
        self.process.wait()
        if self.process.returncode < 0:
            return f"ended by signal {-self.process.returncode}"
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"

    def _read_line(self) -> bytes:
        """The next line, empty if the process has ended. Then the process is suspended, lest its threads spin."""
        timer = threading.Timer(LIMIT_SECONDS, self.process.kill)
        timer.start()
        line = self.stdout.readline()
        timer.cancel()
        if line:
            self.handle.suspend()
        return line
