"""What dvc.yaml lists: the dependencies of a stage, which decide whether a killed run is resumed; all outputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PIPELINE, RAW = Path("dvc.yaml"), Path("data/raw")
SLOT = "${item.slot}"
# The C version, if available, takes a tenth of the time; dvc.yaml is read before every stage.
SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def expand_matrix(stages: Mapping[str, Any]) -> dict[str, Any]:
    """The stages of a dvc.yaml by their names. One with `matrix: {slot: […]}` is a stage for each slot.

    Its names are as those of other stages for a slot, cross_validate_irv2. DVC calls it cross_validate@irv2.
    """
    expanded = {}
    for name, stage in stages.items():
        slots = stage.get("matrix", {}).get("slot")
        if slots is None:
            expanded[name] = stage
        else:
            text = yaml.safe_dump(stage)
            expanded |= {f"{name}_{slot}": _load(text.replace(SLOT, slot)) for slot in slots}
    return expanded


def files(stage: str) -> list[Path]:
    """The files that a stage depends on, code and data; of folders every file.

    The pictures are left out: stages that read them also depend on the manifest or the split, which contain their
    hashes.
    """
    paths: list[Path] = []
    for path in map(Path, _stages()[stage]["deps"]):
        if not path.is_dir():
            paths.append(path)
        elif path != RAW:
            paths += sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return paths


def outputs() -> list[Path]:
    """The outputs of all stages. DVC deletes them before it runs the stage."""
    stages = _stages().values()
    entries = [entry for stage in stages for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [Path(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in entries]


def _stages() -> dict[str, Any]:
    return expand_matrix(_load(PIPELINE.read_text(encoding="utf-8"))["stages"])


def _load(text: str) -> Any:
    return yaml.load(text, Loader=SAFE_LOADER)  # noqa: S506 - as yaml.safe_load
