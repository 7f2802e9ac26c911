"""Runs one measurement in a separate process: no warm-up by another measurement, and its own peak memory."""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from realwaste.core.library_settings import importing_tensorflow

ROOT = Path(__file__).resolve().parents[2]


def measure(task: str, **arguments: Any) -> dict[str, Any]:
    """The result of `task` ("module.function" below benchmarks) and the peak memory of its process in MB.

    A task measures its own time after its imports, so that results do not include TensorFlow's five seconds of import.
    """
    command = [sys.executable, "-m", "benchmarks.parts.child", task, json.dumps(arguments)]
    process = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)  # noqa: S603
    if process.returncode:
        raise RuntimeError(f"{task} {arguments} failed:\n{process.stderr[-3000:]}")
    return json.loads(process.stdout.strip().splitlines()[-1])


def time_in_turn(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job, in alternating rounds: other load affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def environment() -> dict[str, str]:
    """For a process that imports the code of this checkout."""
    return os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "TF_CPP_MIN_LOG_LEVEL": "3"}


def main() -> None:
    module, _, function = sys.argv[1].rpartition(".")
    with importing_tensorflow():
        task = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    result = task(**json.loads(sys.argv[2]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    sys.stdout.write("\n" + json.dumps(result | {"peak_mb": round(peak)}) + "\n")


if __name__ == "__main__":
    main()
