"""The models that a run may have: their names, their files, and which of them are switched off.

A model that is off leaves the word `off` in place of each file and folder, since DVC asks for every output of a stage.
"""

from pathlib import Path

from realwaste.core.files import is_stage_output, write_json, write_text

BACKBONES = ("irv2", "densenet", "edge")
MODELS = ("cnn", *BACKBONES)
FOLDER, SUFFIX = Path("models"), ".keras"
OFF = "off"
"""Of a model that is off, also what metrics call its backbone."""
_TEXT = f"{OFF}\n"  # DVC warns of empty files


def file(name: str) -> Path:
    """The path of a saved model, below the checkout."""
    return FOLDER / f"{name}{SUFFIX}"


def on() -> list[str]:
    """The models that are not off, in the order in which they are shown."""
    return [name for name in MODELS if not is_off(file(name))]


def is_off(path: Path) -> bool:
    """Whether the word `off` stands at `path`, as `mark_off` leaves it."""
    return path.is_file() and path.stat().st_size == len(_TEXT) and path.read_bytes() == _TEXT.encode()


def mark_off(*paths: Path) -> None:
    """Write the word `off` to each path, a file or folder of a model that is off."""
    for path in paths:
        write_text(path, _TEXT, is_stage_output)


def switch_off(metrics: Path, dataset: str, *outputs: Path) -> None:
    """Leave what a stage of a model that is off leaves: its outputs marked, and its metrics with the backbone `off`."""
    mark_off(*outputs)
    write_json(metrics, {"dataset": dataset, "backbone": OFF})
