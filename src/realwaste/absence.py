"""What stands where a model that is off would leave a file or folder: the word off, since DVC's outputs must exist."""

from pathlib import Path

from realwaste.atomic import write_json, write_text

OFF = "off"
"""Of a model that is off, also what metrics call its backbone."""
_TEXT = f"{OFF}\n"  # DVC warns of empty files


def mark(*paths: Path) -> None:
    for path in paths:
        write_text(path, _TEXT)


def switch_off(metrics: Path, dataset: str, *outputs: Path) -> None:
    """Leave what a stage of a model that is off leaves: the word off in place of its outputs, and in its metrics."""
    mark(*outputs)
    write_json(metrics, {"dataset": dataset, "backbone": OFF})


def is_off(path: Path) -> bool:
    """Whether `path` was marked."""
    return path.is_file() and path.stat().st_size == len(_TEXT) and path.read_bytes() == _TEXT.encode()
