"""One measurement in a process of its own: nothing warmed up by another, and a peak memory that is its own."""

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def measure(task: str, **arguments: Any) -> dict[str, Any]:
    """What `task` ("module.function", the module below benchmarks) returns, with the peak memory of its process in MB.

    A task times itself, from after its imports: TensorFlow's five seconds are in no figure but those of the start-up.
    """
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.parts.child", task, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{task} {arguments} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    module, _, function = sys.argv[1].rpartition(".")
    found = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**json.loads(sys.argv[2]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    sys.stdout.write("\n" + json.dumps(found | {"peak_mb": round(peak)}) + "\n")


if __name__ == "__main__":
    main()
