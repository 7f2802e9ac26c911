"""A copy of the checkout with parameters of its own, for measuring and testing the pipeline as a whole."""

import io
import shutil
import subprocess
import tarfile
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
    command = ["git", "archive", "HEAD", *RESULTS]
    committed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    if committed.returncode == 0:  # not so where nothing has been committed yet
        with tarfile.open(fileobj=io.BytesIO(committed.stdout)) as archive:
            archive.extractall(root, filter="data")


def set_params(root: Path, **values: Any) -> None:
    """Write values to params.yaml: `train_cnn__epochs=2` for train_cnn.epochs."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        section, name = key.split("__")
        params[section][name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
