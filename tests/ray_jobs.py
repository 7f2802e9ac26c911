"""Starts and runs a job on a Ray cluster in a process that a test can time out or kill."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.parts.child import ROOT
from benchmarks.parts.ray_nodes import OPEN
from realwaste.core import log
from realwaste.core.errors import UserError


def start(
    script: str, engine: str, folder: Path, address: str | None = None, *extra_arguments: str, **environment: str
) -> subprocess.Popen[bytes]:
    """Start `script` of this folder with `engine` and `folder` as arguments. Its output goes to folder/job.log."""
    process_environment = os.environ | OPEN | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | environment
    process_environment |= {"RAY_ADDRESS": address} if address else {}
    with (folder / "job.log").open("wb") as log:
        command = [sys.executable, str(ROOT / "tests" / script), engine, str(folder), *extra_arguments]
        return subprocess.Popen(command, stdout=log, stderr=log, env=process_environment)


def finished(job: subprocess.Popen[bytes], folder: Path, limit_s: float) -> tuple[int, str]:
    """Wait for the job, and kill it if it takes longer. Returns its exit status and its output."""
    try:
        job.wait(limit_s)
    finally:
        job.kill()
        job.wait()
    return job.returncode, (folder / "job.log").read_text(encoding="utf-8")


def wait_for(job: subprocess.Popen[bytes], folder: Path, condition: Callable[[], bool], limit_s: float) -> None:
    """Wait until the condition is true. The job must not end before."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert job.poll() is None, (folder / "job.log").read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run(job: Callable[[str, Path], None]) -> None:
    """Run a job in this process with ENGINE and FOLDER of the command line; a UserError is logged, and status 1."""
    log.setup()
    try:
        job(sys.argv[1], Path(sys.argv[2]))
    except UserError as error:
        log.logger.error("%s", error)
        sys.exit(1)
