"""The Python environment of the other frameworks: created with pip, separate from the pipeline's, and reused."""

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from realwaste.core.files import cache_folder

REQUIREMENTS = ROOT / "benchmarks/requirements-peers.txt"
FOLDER = cache_folder() / "peers"


def python(requirements: Path = REQUIREMENTS, folder: Path = FOLDER) -> Path:
    """The interpreter of an environment with these requirements, created in a subfolder of `folder` if necessary.

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
