"""Jobs that PyTorch, ONNX Runtime and the pipeline run in turn: frozen backbones, and a training step of the CNN."""

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.parts import peer_tables
from benchmarks.parts.child import ROOT
from benchmarks.parts.peers.turns import run_in_turn
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.core.files import cache_folder

REQUIREMENTS = ROOT / "benchmarks/requirements-peers.txt"
FOLDER = cache_folder() / "peers"  # of the Python environments of the other frameworks, separate from the pipeline's
ROUNDS = 7
_INFERENCE = {"here": "ours.inference", "PyTorch": "on_torch.inference", "ONNX Runtime": "on_onnxruntime.inference"}
_TRAINING = {"here": "ours.training", "PyTorch": "on_torch.training"}
# The name of a job, its unit, its function in each framework, and their arguments.
_JOBS: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
    ("DenseNet121, 524 px", "images/s", _INFERENCE, {"name": "DenseNet121", "size": 524, "rows": 8}),
    ("InceptionResNetV2, 524 px", "images/s", _INFERENCE, {"name": "InceptionResNetV2", "size": 524, "rows": 8}),
    ("A training step of the CNN, 256 px", "ms per image", _TRAINING, {"size": 256, "rows": 32, "classes": 9}),
]


def measure_jobs(rounds: int = ROUNDS) -> dict[str, Any]:
    """The pinned versions of the frameworks, and for each job the seconds of each variant or why it did not run."""
    try:
        peer_python: Path | None = create_environment()
        not_run_reason = ""
    except UserError as error:
        peer_python, not_run_reason = None, f"not installed: {error.received}"
        log.logger.warning("the other frameworks are %s; only the pipeline is measured", not_run_reason)
    jobs: list[dict[str, Any]] = []
    for name, unit, functions, arguments in _JOBS:
        log.logger.info("peers: %s", name)
        pythons = dict.fromkeys(functions, peer_python) | {"here": Path(sys.executable)}
        tasks = {framework: (python, functions[framework]) for framework, python in pythons.items() if python}
        variants = run_in_turn(tasks, arguments, rounds)
        if any("seconds" not in variants.get(variant, {}) for variant in peer_tables.OURS):
            raise RuntimeError(f"{name} failed here: {variants}")
        variants |= {framework: {"not_run": not_run_reason} for framework in functions if framework not in tasks}
        jobs.append({"name": name, "unit": unit, "images": arguments["rows"], "ways": variants})
    return {"requirements": REQUIREMENTS.read_text(encoding="utf-8").splitlines(), "jobs": jobs}


def create_environment(requirements: Path = REQUIREMENTS, folder: Path = FOLDER) -> Path:
    """The interpreter of an environment with these requirements, in a subfolder of `folder`; it is created once.

    Raises:
        UserError: pip could not install them.
    """
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    environment_dir = folder / digest
    interpreter = environment_dir / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    complete_marker = environment_dir / "whole"  # written last: an environment cannot be created elsewhere and renamed
    if not complete_marker.is_file():
        shutil.rmtree(environment_dir, ignore_errors=True)
        venv.create(environment_dir, with_pip=True)
        _install(interpreter, requirements)
        complete_marker.touch()
    return interpreter


def _install(interpreter: Path, requirements: Path) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--retries", "1", "-r", str(requirements)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if process.returncode:
        errors = [line for line in process.stderr.splitlines() if line.startswith("ERROR: ")]
        raise UserError(
            f"pip must install the frameworks of {requirements.name} before they can be measured.",
            "Connect to PyPI or a mirror, and try again; without --peers nothing is installed.",
            errors[0].removeprefix("ERROR: ") if errors else f"pip's exit status {process.returncode}",
        )
