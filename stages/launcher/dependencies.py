"""What dvc.yaml lists: the dependencies of a stage, which decide whether a killed run is resumed; all outputs."""

from pathlib import Path

from stages.launcher.params_file import read_stages

RAW = Path("data/raw")


def files(stage: str) -> list[Path]:
    """The files that a stage depends on, code and data; of folders every file.

    The pictures are left out: stages that read them also depend on the manifest or the split, which contain their
    hashes.
    """
    paths: list[Path] = []
    for path in map(Path, read_stages()[stage]["deps"]):
        if not path.is_dir():
            paths.append(path)
        elif path != RAW:
            paths += sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return paths


def outputs() -> list[Path]:
    """The outputs of all stages. DVC deletes them before it runs the stage."""
    stages = read_stages().values()
    entries = [entry for stage in stages for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [Path(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in entries]
