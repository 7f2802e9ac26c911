"""Work for a Ray cluster in a process of its own, which a test can time out or kill."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.parts.child import ROOT
from benchmarks.parts.ray_nodes import OPEN


def start(
    script: str, engine: str, folder: Path, address: str | None = None, *more: str, **environment: str
) -> subprocess.Popen[bytes]:
    """`script` of this folder, told engine and folder; what it says is in folder/job.log."""
    variables = os.environ | OPEN | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | environment
    variables |= {"RAY_ADDRESS": address} if address else {}
    with (folder / "job.log").open("wb") as log:
        command = [sys.executable, str(ROOT / "tests" / script), engine, str(folder), *more]
        return subprocess.Popen(command, stdout=log, stderr=log, env=variables)


def finished(job: subprocess.Popen[bytes], folder: Path, limit_s: float) -> tuple[int, str]:
    """Status and what it said; it is killed if it takes longer."""
    try:
        job.wait(limit_s)
    finally:
        job.kill()
        job.wait()
    return job.returncode, (folder / "job.log").read_text(encoding="utf-8")


def wait_for(job: subprocess.Popen[bytes], folder: Path, happened: Callable[[], bool], limit_s: float) -> None:
    """Wait until something has happened; the job must not end before."""
    until = time.monotonic() + limit_s
    while not happened():
        assert job.poll() is None, (folder / "job.log").read_text(encoding="utf-8")
        assert time.monotonic() < until
        time.sleep(0.02)
