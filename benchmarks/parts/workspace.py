"""A copy of the checkout with changed parameters, to measure and test the whole pipeline."""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.parts.child import ROOT

RESULTS = ("metrics", "plots", "models")


def copy_checkout(root: Path) -> None:
    """Copy the files that git tracks or would track to `root`, without dvc.lock, so that every stage runs.

    Results are those of the last commit, even if stages have run here since.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    (root / "dvc.lock").unlink(missing_ok=True)
    unpack_committed(root, *RESULTS)  # does nothing before the first commit


def unpack_committed(root: Path, *names: str) -> bool:
    """Unpack these files and folders of the last commit into `root`; whether that commit has them."""
    command = ["git", "archive", "--format=zip", "HEAD", *names]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    if archive.returncode:
        return False
    with zipfile.ZipFile(io.BytesIO(archive.stdout)) as zip_file:
        zip_file.extractall(root)
    return True


def set_params(root: Path, **values: Any) -> None:
    """Write values to params.yaml: `train_cnn__epochs=2` for train_cnn.epochs."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        section, name = key.split("__")
        params[section][name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
