"""Runs commands in a process without the packages of the pipeline, and rewrites model files as earlier versions did."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from benchmarks.parts.child import ROOT

OF_TRAINING = ("tensorflow", "keras", "h5py", "dvc", "sklearn", "matplotlib", "altair", "jinja2", "ray")
OF_EVALUATION = ("pandas", "scipy")


def command(*arguments: str, missing: tuple[str, ...] = OF_TRAINING) -> list[str]:
    """The command line of `realwaste` with these arguments in a Python that cannot import the packages `missing`."""
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); from realwaste.__main__ import main; main()"
    return [sys.executable, "-c", code, *arguments]


def environment(cache: Path) -> dict[str, str]:
    """Environment variables for `command`."""
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "REALWASTE_CACHE": str(cache), "COLUMNS": "300"}


def run(folder: Path, *arguments: str, missing: tuple[str, ...] = OF_TRAINING) -> subprocess.CompletedProcess[str]:
    """Run `command` in a folder, with an empty cache. It may exit with any status."""
    return subprocess.run(
        command(*arguments, missing=missing),
        cwd=folder,
        env=environment(folder / "no cache"),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def remove_networks(source: Path, target: Path) -> Path:
    """Write the model file as an earlier version would have saved it: without converted networks."""
    return rewrite(source, target, lambda name, data: None if name.startswith("openvino-") else data)


def rewrite(source, target, change):
    """Copy a model file. `change(name, data)` returns the new content of each part, or None to omit the part."""
    with zipfile.ZipFile(source) as original:
        parts = {name: change(name, original.read(name)) for name in original.namelist()}
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in parts.items():
            if data is not None:
                archive.writestr(name, data)
    return target
