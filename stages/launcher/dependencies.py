"""Files by dvc.yaml: what a stage depends on, by which a killed run may be gone on from, and what all stages write."""

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


def outputs() -> list[Path]:
    """The outputs of all stages, which DVC deletes before the stage of each runs."""
    stages = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"].values()
    entries = [entry for stage in stages for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [Path(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in entries]
