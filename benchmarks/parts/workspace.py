"""A copy of the checkout with parameters of its own, for measuring and testing the pipeline as a whole."""

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
    """The files that git knows, or would, to `root`; without dvc.lock, so that every stage runs.

    Results are those of the last commit, whatever has run here since.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    (root / "dvc.lock").unlink(missing_ok=True)
    unpack_committed(root, *RESULTS)  # nothing where nothing has been committed yet


def unpack_committed(root: Path, *names: str) -> bool:
    """Leave these files and folders as of the last commit in `root`; whether there was one that has them."""
    command = ["git", "archive", "--format=zip", "HEAD", *names]
    packed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    if packed.returncode:
        return False
    with zipfile.ZipFile(io.BytesIO(packed.stdout)) as bundle:
        bundle.extractall(root)
    return True


def set_params(root: Path, **values: Any) -> None:
    """Write values to params.yaml: `train_cnn__epochs=2` for train_cnn.epochs."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        section, name = key.split("__")
        params[section][name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
