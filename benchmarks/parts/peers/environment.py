"""The environment that peers run in: made by pip, away from the pipeline's, and kept for the next time."""

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
    """The interpreter of an environment with these requirements, made in a folder of its own in `folder` if need be.

    Raises:
        UserError: pip could not install them.
    """
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = folder / digest
    interpreter = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    whole = place / "whole"  # its last file: an environment cannot be renamed
    if not whole.is_file():
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        _install(interpreter, requirements)
        whole.touch()
    return interpreter


def _install(interpreter: Path, requirements: Path) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--retries", "1", "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise UserError(
            f"The peers of {requirements.name} must be installed by pip before they can be measured.",
            "Connect to a network or a mirror of PyPI, and ask again; without --peers nothing is installed.",
            errors[0].removeprefix("ERROR: ") if errors else f"pip's exit status {done.returncode}",
        )
