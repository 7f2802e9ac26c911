"""The files that a stage depends on, by its `deps` in dvc.yaml: what a killed run of it may be gone on from by."""

from pathlib import Path

import yaml

PIPELINE, RAW = Path("dvc.yaml"), Path("data/raw")


def files(stage: str) -> list[Path]:
    """The stage's code and data, folders file by file.

    The pictures are left out: what reads them depends on the manifest or the split too, which hold their hashes.
    """
    named = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"][stage]["deps"]
    found: list[Path] = []
    for path in map(Path, named):
        if not path.is_dir():
            found.append(path)
        elif path != RAW:
            found += sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return found
